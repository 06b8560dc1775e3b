"""The batch as a container: positions, bytes, words, pins, and what it refuses."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from _fastnet.batch import Batch

V4, V6, MAC = b"\x0a\0\0\1", b"\xfd" + bytes(14) + b"\1", b"\2\0\0\0\0\1"


def full() -> Batch:
    """One message of each verb."""
    batch = Batch()
    batch.add_veth("dv1", "eth0", master=3, mtu=1400, group=9, peer_mac=MAC, namespace=7, up=True, queues=0)
    batch.add_bridge("br0", mac=MAC)
    batch.add_link("v0", "vcan")
    batch.set_link(4, up=True, addr_gen_mode=1, master=0, alias="x y")
    batch.set_link(group=9, up=False)
    batch.delete_link(name="dv1")
    batch.delete_link(group=9)
    batch.get_link(8)
    batch.add_address(4, V4, 24)
    batch.delete_address(4, V6, 64)
    batch.add_route(gateway=V4, index=4, on_link=True, metric=5)
    batch.delete_route(V6, 128)
    batch.add_neighbour(4, V4, MAC)
    batch.delete_neighbour(4, V6)
    batch.add_route(b"\x0a\0\0\0", 8, type="blackhole", replace=True)
    return batch


def test_describe() -> None:
    assert full().describe().splitlines() == [
        "0: add veth dv1 mtu 1400 master 3 group 9 peer (name eth0 address 02:00:00:00:00:01 mtu 1400 netns fd 7) up",
        "1: add bridge br0 address 02:00:00:00:00:01",
        "2: add vcan v0",
        "3: set link 4 nomaster alias 'x y' addrgenmode 1 up",
        "4: set links of group 9 down",
        "5: delete link dv1",
        "6: delete links of group 9",
        "7: get link 8",
        "8: add address 10.0.0.1/24 on link 4 broadcast 10.0.0.255",
        "9: delete address fd00::1/64 on link 4",
        "10: add route default (IPv4) via 10.0.0.1 on link 4 onlink metric 5 table 254",
        "11: delete route fd00::1/128 table 254",
        "12: replace neighbour 10.0.0.1 on link 4 lladdr 02:00:00:00:00:01 permanent",
        "13: delete neighbour fd00::1 on link 4",
        "14: replace blackhole route 10.0.0.0/8 table 254",
    ]


def test_operation_is_the_short_form() -> None:
    batch = full()
    assert batch.operation(0) == "add veth dv1"
    assert batch.operation(8) == "add address 10.0.0.1/24 on link 4"
    assert batch.operation(14) == "replace blackhole route 10.0.0.0/8"


def test_bytes_are_the_messages_one_after_the_other() -> None:
    batch = full()
    assert len(batch) == 15
    assert b"".join(batch.message(i) for i in range(15)) == bytes(batch) == bytes(memoryview(batch))
    assert batch.nbytes == len(bytes(batch))
    at = 0
    for i in range(15):
        (size,) = struct.unpack_from("=I", bytes(batch), at)
        assert size == len(batch.message(i))
        at += size
    assert at == batch.nbytes


def test_clear_and_grow() -> None:
    batch = Batch(0)
    assert bytes(batch) == b""
    for i in range(5000):
        assert batch.set_link(i + 1, up=True) == i
    assert batch.operation(4999) == "set link 5000"
    batch.clear()
    assert (len(batch), batch.nbytes, bytes(batch)) == (0, 0, b"")
    assert batch.set_link(1, up=True) == 0


def test_a_view_pins_the_buffer() -> None:
    batch = full()
    before = bytes(batch)
    with memoryview(batch) as view:
        assert view.readonly
        assert view.format == "B"
        with pytest.raises(BufferError):
            batch.set_link(1, up=True)
        with pytest.raises(BufferError):
            batch.clear()
        assert bytes(view) == bytes(batch) == before
    assert batch.set_link(1, up=True) == 15


@pytest.mark.parametrize("position", [-1, 15, 2**70])
def test_positions_are_checked(position: int) -> None:
    batch = full()
    for ask in batch.message, batch.operation:
        with pytest.raises(IndexError):
            ask(position)


def test_a_position_is_an_integer() -> None:
    with pytest.raises(TypeError, match="position"):
        full().message("1")  # type: ignore[arg-type]


def test_append_takes_any_batchs_message() -> None:
    batch, copy = full(), Batch()
    for i in range(len(batch)):
        assert copy.append(batch.message(i)) == i
    assert bytes(copy) == bytes(batch)


def test_append_resets_what_is_the_sockets() -> None:
    raw = bytearray(full().message(0))
    struct.pack_into("=HII", raw, 6, 0x600 | 0x4, 77, 88)
    batch = Batch()
    batch.append(bytes(raw))
    assert batch.message(0) == full().message(0)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0" * 15,
        full().message(0)[:-1],
        full().message(0) + b"\0",
        full().message(0) * 2,
        struct.pack("=IHHII", 16, 3, 1, 0, 0),  # NLMSG_DONE
        struct.pack("=IHHII", 32, 18, 0x301, 0, 0) + bytes(16),  # RTM_GETLINK, a dump
    ],
)
def test_append_takes_one_message_and_nothing_else(raw: bytes) -> None:
    batch = full()
    before = bytes(batch)
    with pytest.raises(ValueError, match=r"message|dump"):
        batch.append(raw)
    assert (len(batch), bytes(batch)) == (15, before)


BAD_NAMES = ["", "a" * 16, "a/b", "a:b", "a b", "a\tb", "a\0b", ".", "..", "é" * 8, b"", b"x" * 16]

REFUSED: list[tuple[str, tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    *[("add_veth", (name, "p"), {}, ValueError, "name") for name in BAD_NAMES],
    *[("add_veth", ("n", name), {}, ValueError, "peer") for name in BAD_NAMES],
    ("add_veth", (3, "p"), {}, TypeError, "name"),
    ("add_veth", ("n", None), {}, TypeError, "peer"),
    ("add_veth", ("n", "p"), {"index": -1}, ValueError, "index"),
    ("add_veth", ("n", "p"), {"index": 2**31}, ValueError, "index"),
    ("add_veth", ("n", "p"), {"index": 2**80}, ValueError, "index"),
    ("add_veth", ("n", "p"), {"index": 1.5}, TypeError, "index"),
    ("add_veth", ("n", "p"), {"peer_index": "1"}, TypeError, "peer_index"),
    ("add_veth", ("n", "p"), {"namespace": -2}, ValueError, "namespace"),
    ("add_veth", ("n", "p"), {"mac": b"12345"}, ValueError, "mac"),
    ("add_veth", ("n", "p"), {"peer_mac": "02:00:00:00:00:01"}, TypeError, "peer_mac"),
    ("add_veth", ("n", "p"), {"master": -1}, ValueError, "master"),
    ("add_veth", ("n", "p"), {"mtu": 2**31}, ValueError, "mtu"),
    ("add_veth", ("n", "p"), {"group": 2**32}, ValueError, "group"),
    ("add_veth", ("n", "p"), {"queues": 5000}, ValueError, "queues"),
    ("add_link", ("n", ""), {}, ValueError, "kind"),
    ("add_link", ("n", "k" * 64), {}, ValueError, "kind"),
    ("set_link", (), {"up": True}, ValueError, "exactly one"),
    ("set_link", (1,), {"name": "n"}, ValueError, "exactly one"),
    ("set_link", (1,), {"group": 1}, ValueError, "exactly one"),
    ("set_link", (), {"name": "n", "new_name": "m"}, ValueError, "new_name"),
    ("set_link", (), {"group": 1, "new_name": "m"}, ValueError, "group"),
    ("set_link", (), {"group": 1, "new_group": 2}, ValueError, "group"),
    ("set_link", (), {"group": 1, "mac": MAC}, ValueError, "group"),
    ("set_link", (1,), {"up": 1}, TypeError, "up"),
    ("set_link", (1,), {"alias": "x" * 256}, ValueError, "alias"),
    ("set_link", (1,), {"alias": "x\0y"}, ValueError, "alias"),
    ("set_link", (1,), {"addr_gen_mode": 256}, ValueError, "addr_gen_mode"),
    ("delete_link", (), {}, ValueError, "exactly one"),
    ("delete_link", (), {"group": 0}, ValueError, "exactly one"),
    ("get_link", (), {}, ValueError, "exactly one"),
    ("add_address", (0, V4, 24), {}, ValueError, "index"),
    ("add_address", (1, V4, 33), {}, ValueError, "prefix"),
    ("add_address", (1, V6, 129), {}, ValueError, "prefix"),
    ("add_address", (1, b"12345", 8), {}, ValueError, "address"),
    ("add_address", (1, "10.0.0.1", 8), {}, TypeError, "address"),
    ("add_address", (1, bytearray(4), 8), {}, TypeError, "address"),
    ("add_route", (), {"index": 1}, ValueError, "family"),
    ("add_route", (), {"family": 3, "index": 1}, ValueError, "family"),
    ("add_route", (), {"family": 10, "gateway": V4}, ValueError, "gateway"),
    ("add_route", (V6, 24), {"gateway": V4}, ValueError, "gateway"),
    ("add_route", (None, 8), {"gateway": V4}, ValueError, "prefix"),
    ("add_route", (V4, 33), {"index": 1}, ValueError, "prefix"),
    ("add_route", (V4, 24), {}, ValueError, "gateway or an index"),
    ("add_route", (V4, 24), {"index": 1, "on_link": True}, ValueError, "on_link"),
    ("add_route", (V4, 24), {"index": 1, "type": "blackhole"}, ValueError, "blackhole"),
    ("add_route", (V4, 24), {"index": 1, "table": 0}, ValueError, "table"),
    ("add_neighbour", (1, V4, None), {}, TypeError, "mac"),
    ("add_neighbour", (1, V4, b"1"), {}, ValueError, "mac"),
    ("delete_neighbour", (0, V4), {}, ValueError, "index"),
]


@pytest.mark.parametrize(("verb", "args", "kwargs", "error", "says"), REFUSED)
def test_bad_input_is_named_and_changes_nothing(
    verb: str, args: tuple[Any, ...], kwargs: dict[str, Any], error: type[Exception], says: str
) -> None:
    batch = Batch()
    batch.set_link(1, up=True)
    before = bytes(batch)
    with pytest.raises(error, match=says):
        getattr(batch, verb)(*args, **kwargs)
    assert (len(batch), bytes(batch)) == (1, before)


@pytest.mark.parametrize("capacity", [-1, 2**31, "4"])
def test_bad_capacity(capacity: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="capacity"):
        Batch(capacity)


@given(st.lists(st.sampled_from(["veth", "address", "route", "bad"]), max_size=60))
def test_positions_count_up_whatever_fails_between(verbs: list[str]) -> None:
    batch = Batch(0)
    position = 0
    for verb in verbs:
        if verb == "bad":
            with pytest.raises(ValueError, match="peer"):
                batch.add_veth("good", "")
            continue
        if verb == "veth":
            assert batch.add_veth("n", "p") == position
        elif verb == "address":
            assert batch.add_address(1, V4, 8) == position
        else:
            assert batch.add_route(gateway=V6) == position
        position += 1
    assert len(batch) == position
    assert [batch.operation(i).split()[1] for i in range(position)] == [v for v in verbs if v != "bad"]

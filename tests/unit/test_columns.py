"""The column verbs write exactly what a loop over the single verbs writes."""

from __future__ import annotations

import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from _fastnet.batch import Batch
from _fastnet.iflist import InterfaceList

MAC = b"\2\0\0\0\0\1"
V4, V6 = b"\x0a\0\0\1", b"\xfd" + bytes(14) + b"\1"

rows = st.lists(
    st.tuples(
        st.none() | st.binary(min_size=6, max_size=6),
        st.none() | st.binary(min_size=4, max_size=4),
        st.none() | st.binary(min_size=16, max_size=16),
    ),
    max_size=40,
)
full_rows = st.lists(st.tuples(st.just(MAC), st.just(V4), st.none() | st.just(V6)), max_size=10)


def listed(given_: list[Any]) -> InterfaceList:
    made = InterfaceList()
    for number, (mac, ipv4, ipv6) in enumerate(given_):
        made.append(number, mac, ipv4, 24, ipv6, 64)
    return made


def begun() -> Batch:
    """A batch with something in it already: what columns add comes after it."""
    batch = Batch(0)
    batch.set_link(1, up=True)
    return batch


def same(ours: Batch, loop: Batch) -> None:
    assert bytes(ours) == bytes(loop)
    assert [ours.message(i) for i in range(len(ours))] == [loop.message(i) for i in range(len(loop))]


@given(
    rows=rows,
    data=st.data(),
    pattern=st.sampled_from([("dv%x", "dv{:x}"), ("%05d-", "{:05d}-"), ("a%03xé", "a{:03x}é"), ("%d", "{:d}")]),
    first=st.sampled_from([0, 8, 95, 250, 4090, 9999]),
    index=st.sampled_from([0, 1, 1000]),
    peer=st.sampled_from(["e", "eth0", "a-long-name-015"]),
    peer_index=st.sampled_from([(0, 0), (2, 0), (2, 1), (100, 7)]),
    options=st.fixed_dictionaries(
        {},
        optional={
            "mac": st.none() | st.just(MAC),
            "master": st.integers(0, 9),
            "mtu": st.sampled_from([0, 1400]),
            "group": st.integers(0, 9),
            "up": st.booleans(),
            "queues": st.integers(0, 2),
        },
    ),
)
def test_add_veths(
    rows: list[Any],
    data: st.DataObject,
    pattern: tuple[str, str],
    first: int,
    index: int,
    peer: str,
    peer_index: tuple[int, int],
    options: dict[str, Any],
) -> None:
    interfaces = listed(rows)
    count = len(rows)
    namespaces = data.draw(st.lists(st.integers(-1, 2), min_size=count, max_size=count))
    ours, loop = begun(), begun()
    position = ours.add_veths(
        pattern[0],
        interfaces,
        namespaces=data.draw(st.sampled_from([namespaces, tuple(namespaces), array.array("i", namespaces)])),
        first=first,
        peer=peer,
        index=index,
        peer_index=peer_index[0],
        peer_step=peer_index[1],
        **options,
    )
    assert position == 1
    for i in range(count):
        loop.add_veth(
            pattern[1].format(first + i),
            peer,
            index=index + i if index else 0,
            peer_index=peer_index[0] + i * peer_index[1],
            namespace=namespaces[i],
            peer_mac=interfaces.mac(i),
            **options,
        )
    same(ours, loop)


@given(rows=rows, data=st.data())
def test_a_run_of_rows_and_indexes_of_any_order(rows: list[Any], data: st.DataObject) -> None:
    interfaces = listed(rows)
    start = data.draw(st.integers(0, len(rows)))
    count = data.draw(st.integers(0, len(rows) - start))
    indexes = data.draw(st.lists(st.integers(1, 2**31 - 1), min_size=count, max_size=count))
    ours, loop = begun(), begun()
    ours.add_veths("v%d", interfaces, start=start, count=count, index=indexes, peer_index=array.array("i", indexes))
    for i in range(count):
        index = indexes[i]
        loop.add_veth(f"v{i}", "eth0", index=index, peer_index=index, peer_mac=interfaces.mac(start + i))
    same(ours, loop)


@pytest.mark.parametrize("step", [0, 1, 3])
@given(rows=full_rows)
def test_neighbours_fdbs_and_routes(step: int, rows: list[Any]) -> None:
    interfaces = listed(rows)
    ours, loop = begun(), begun()
    ours.add_neighbours(5, interfaces, step=step, state="noarp", replace=False)
    ours.delete_neighbours(5, interfaces, step=step)
    ours.add_fdbs(5, interfaces, step=step, vlan=7, replace=True)
    ours.add_fdbs(5, interfaces, step=step, master=False, dst=V6)
    ours.delete_fdbs(5, interfaces, step=step)
    ours.delete_fdbs(5, interfaces, step=step, master=False, dst=V6)
    ours.add_routes(5, interfaces, step=step, table=1000, metric=9, protocol=99, replace=True)
    ours.delete_routes(5, interfaces, step=step, table=1000, metric=9)
    indexes = [5 + i * step for i in range(len(rows))]
    present = [
        (index, i, address)
        for i, index in enumerate(indexes)
        for address in (interfaces.ipv4(i), interfaces.ipv6(i))
        if address is not None
    ]
    for index, i, address in present:
        loop.add_neighbour(index, address, interfaces.mac(i), state="noarp", replace=False)
    for index, _, address in present:
        loop.delete_neighbour(index, address)
    for index in indexes:
        loop.add_fdb(index, MAC, vlan=7, replace=True)
    for index in indexes:
        loop.add_fdb(index, MAC, master=False, dst=V6)
    for index in indexes:
        loop.delete_fdb(index, MAC)
    for index in indexes:
        loop.delete_fdb(index, MAC, master=False, dst=V6)
    for index, _, address in present:
        options: dict[str, Any] = {"table": 1000, "metric": 9}
        loop.add_route(address, len(address) * 8, index=index, protocol=99, replace=True, **options)
    for index, _, address in present:
        loop.delete_route(address, len(address) * 8, index=index, table=1000, metric=9)
    same(ours, loop)


def every_message_of(index: int) -> Batch:
    batch = Batch()
    batch.set_link(index, up=True, addr_gen_mode=1)
    batch.delete_link(index)
    batch.get_link(index)
    batch.set_bridge_port(index, isolated=True)
    batch.set_link_ipv4(index, forwarding=1)
    batch.set_bridge(index, stp=True)
    batch.add_address(index, V6, 64)
    batch.delete_address(index, V4, 32)
    batch.add_neighbour(index, V4, MAC)
    batch.delete_neighbour(index, V4)
    batch.add_fdb(index, MAC)
    batch.add_route(V4, 32, index=index, metric=7)
    batch.delete_route(V6, 128, index=index)
    return batch


@given(indexes=st.lists(st.integers(1, 2**31 - 1), max_size=10))
def test_repeat(indexes: list[int]) -> None:
    model = every_message_of(4)
    others = [every_message_of(index) for index in indexes]
    for position in range(len(model)):
        ours = Batch()
        ours.append(model.message(position))
        assert ours.repeat(0, indexes) == 1
        assert [ours.message(1 + i) for i in range(len(indexes))] == [other.message(position) for other in others]
        assert ours.repeat(0, array.array("i", indexes)) == 1 + len(indexes)
        assert len(ours) == 1 + 2 * len(indexes)


def test_repeat_refuses_what_knows_no_ifindex() -> None:
    batch = Batch()
    batch.add_veth("a", "b", index=5)
    batch.set_link(name="a", up=True)
    batch.set_link(group=5, up=True)
    batch.add_route(gateway=V4)
    batch.add_rule(priority=5)
    before = bytes(batch)
    for position in range(len(batch)):
        with pytest.raises(ValueError, match="knows no ifindex"):
            batch.repeat(position, [7])
    with pytest.raises(IndexError):
        batch.repeat(5, [7])
    with pytest.raises(TypeError, match="indexes"):
        batch.repeat(0, 7)  # type: ignore[arg-type]
    assert bytes(batch) == before


def test_a_batch_of_megabytes_keeps_its_starts() -> None:
    interfaces = listed([(bytes([2, 0, 0]) + i.to_bytes(3, "big"), i.to_bytes(4, "big"), None) for i in range(20000)])
    batch = Batch(0)
    assert batch.add_veths("v%d", interfaces, index=1000) == 0
    assert batch.add_routes(1000, interfaces) == 20000
    assert batch.nbytes > 3 << 20
    for i in 0, 9, 10, 9999, 19999:
        assert batch.operation(i) == f"add veth v{i}"
        address = ".".join(map(str, i.to_bytes(4, "big")))
        assert batch.operation(20000 + i) == f"add route {address}/32 on link {1000 + i}"


TWO = listed([(MAC, V4, None), (MAC, None, V6)])
BARE = listed([(None, V4, None)])
REFUSED: list[tuple[str, tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    ("add_veths", ("v", TWO), {}, ValueError, "pattern"),
    ("add_veths", ("v%d%d", TWO), {}, ValueError, "pattern"),
    ("add_veths", ("v%s", TWO), {}, ValueError, "pattern"),
    ("add_veths", ("v%5x", TWO), {}, ValueError, "pattern"),
    ("add_veths", (b"v%d", TWO), {}, TypeError, "pattern"),
    ("add_veths", ("a/%d", TWO), {}, ValueError, "pattern"),
    ("add_veths", ("fourteen-bytes%d", TWO), {"first": 9}, ValueError, "16 bytes"),
    ("add_veths", ("v%015d", TWO), {}, ValueError, "16 bytes"),
    ("add_veths", ("v%d", [MAC]), {}, TypeError, "interfaces"),
    ("add_veths", ("v%d", TWO), {"first": -1}, ValueError, "first"),
    ("add_veths", ("v%d", TWO), {"index": 2**31 - 1}, ValueError, "index"),
    ("add_veths", ("v%d", TWO), {"index": [5]}, ValueError, "index"),
    ("add_veths", ("v%d", TWO), {"index": [5, 0]}, ValueError, "index"),
    ("add_veths", ("v%d", TWO), {"index": "56"}, TypeError, "index"),
    ("add_veths", ("v%d", TWO), {"peer_index": 2**31 - 1, "peer_step": 1}, ValueError, "peer_index"),
    ("add_veths", ("v%d", TWO), {"namespaces": [1, -2]}, ValueError, "namespaces"),
    ("add_veths", ("v%d", TWO), {"namespaces": array.array("i", [1, -2])}, ValueError, "namespaces"),
    ("add_veths", ("v%d", TWO), {"namespaces": array.array("i", [1])}, ValueError, "namespaces"),
    ("add_veths", ("v%d", TWO), {"namespaces": array.array("I", [1, 1])}, TypeError, "namespaces"),
    (
        "add_veths",
        ("v%d", TWO),
        {"namespaces": memoryview(array.array("i", [1, 1, 1, 1]))[::2]},
        BufferError,
        "contiguous",
    ),
    ("add_veths", ("v%d", TWO), {"start": 3}, IndexError, "row"),
    ("add_veths", ("v%d", TWO), {"start": 1, "count": 2}, IndexError, "rows"),
    ("add_veths", ("v%d", TWO), {"start": -1}, ValueError, "start"),
    ("add_veths", ("v%d", TWO), {"peer": "a/b"}, ValueError, "peer"),
    ("add_neighbours", (5, BARE), {}, ValueError, "no MAC"),
    ("add_neighbours", (0, TWO), {}, ValueError, "index"),
    ("add_neighbours", (5, TWO), {"state": "x"}, ValueError, "state"),
    ("add_fdbs", (5, BARE), {}, ValueError, "no MAC"),
    ("add_fdbs", (5, TWO), {"dst": V4}, ValueError, "master=False"),
    ("add_fdbs", (5, TWO), {"master": 1}, TypeError, "master"),
    ("add_routes", (5, TWO), {"table": 0}, ValueError, "table"),
    ("add_routes", (2**31 - 1, TWO), {}, ValueError, "index"),
    ("delete_routes", (5, TWO), {"count": 3}, IndexError, "rows"),
]


@pytest.mark.parametrize(("verb", "args", "kwargs", "error", "says"), REFUSED)
def test_bad_input_is_named_and_changes_nothing(
    verb: str, args: tuple[Any, ...], kwargs: dict[str, Any], error: type[Exception], says: str
) -> None:
    batch = begun()
    before = bytes(batch)
    with pytest.raises(error, match=says):
        getattr(batch, verb)(*args, **kwargs)
    assert (len(batch), bytes(batch)) == (1, before)


def test_columns_respect_a_pin() -> None:
    batch = begun()
    with memoryview(batch), pytest.raises(BufferError):
        batch.add_veths("v%d", TWO)
    with memoryview(batch), pytest.raises(BufferError):
        batch.repeat(0, [5])
    assert batch.repeat(0, [5]) == 1

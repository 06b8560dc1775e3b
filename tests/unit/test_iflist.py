"""InterfaceList: rows, ids, fields, bad input."""

from __future__ import annotations

import array
import pickle
import random
from collections.abc import Callable

import pytest

from _fastnet.errors import OutOfRange, Taken
from _fastnet.iflist import InterfaceList

MAC, IPV4, IPV6 = b"\x02\x42\x0a\x00\x00\x01", b"\x0a\0\0\1", bytes(range(16))


def test_empty_fields_are_none() -> None:
    interfaces = InterfaceList()
    assert interfaces.append(5) == 0
    assert (interfaces.id(0), interfaces.mac(0), interfaces.ipv4(0), interfaces.ipv6(0)) == (
        5,
        None,
        None,
        None,
    )
    assert (interfaces.ipv4_prefix(0), interfaces.ipv6_prefix(0)) == (0, 0)
    interfaces.set_mac(0, MAC)
    assert (interfaces.mac(0), interfaces.ipv4(0), interfaces.ipv6(0)) == (MAC, None, None)
    interfaces.set_ipv4(0, IPV4, 24)
    assert (interfaces.ipv4(0), interfaces.ipv4_prefix(0), interfaces.ipv6(0)) == (IPV4, 24, None)
    interfaces.set_ipv6(0, IPV6, 64)
    assert (interfaces.ipv6(0), interfaces.ipv6_prefix(0)) == (IPV6, 64)


def test_all_zeros_is_not_empty() -> None:
    interfaces = InterfaceList()
    interfaces.append(0, bytes(6), bytes(4), 0, bytes(16), 0)
    assert (interfaces.mac(0), interfaces.ipv4(0), interfaces.ipv6(0)) == (bytes(6), bytes(4), bytes(16))


def test_by_keyword_and_defaults() -> None:
    interfaces = InterfaceList()
    interfaces.append(id=1, ipv6=IPV6, ipv4=IPV4, mac=MAC)
    assert (interfaces.ipv4_prefix(0), interfaces.ipv6_prefix(0)) == (32, 128)


@pytest.mark.parametrize("order", ["up", "down", "mixed"])
def test_find(order: str) -> None:
    ids = list(range(0, 3000, 3))
    if order == "down":
        ids.reverse()
    elif order == "mixed":
        random.Random(1).shuffle(ids)
    interfaces = InterfaceList()
    for row, number in enumerate(ids):
        assert interfaces.append(number) == row
        if row % 50 == 0:
            assert interfaces.find(number) == row
            with pytest.raises(Taken, match=str(number)):
                interfaces.append(number)
    assert [interfaces.find(number) for number in ids] == list(range(1000))
    assert {interfaces.find(number) for number in (1, 2, 3001, 2**31 - 1)} == {-1}
    assert len(interfaces) == 1000


def test_memory() -> None:
    interfaces = InterfaceList()
    bare = interfaces.nbytes
    assert bare < 256
    interfaces.append(1)
    interfaces.append(2)
    assert interfaces.nbytes == bare
    for number in range(3, 1001):
        interfaces.append(number)
    assert interfaces.nbytes - bare <= 36 * 1024
    assert interfaces.__sizeof__() == interfaces.nbytes


@pytest.mark.parametrize("row", [-1, 2, 2**31, 2**64, pytest.param(10**5000, id="huge")])
def test_rows_are_checked(row: int) -> None:
    interfaces = InterfaceList()
    interfaces.append(1, MAC, IPV4, 24, IPV6, 64)
    interfaces.append(2)
    for method in ("id", "mac", "ipv4", "ipv4_prefix", "ipv6", "ipv6_prefix"):
        with pytest.raises(IndexError, match="of 2"):
            getattr(interfaces, method)(row)
        with pytest.raises(TypeError, match="a row must be an integer"):
            getattr(interfaces, method)("0")
    with pytest.raises(IndexError):
        interfaces.set_mac(row, MAC)
    with pytest.raises(IndexError):
        interfaces.set_ipv4(row, IPV4, 24)
    with pytest.raises(IndexError):
        interfaces.set_ipv6(row, IPV6, 64)


@pytest.mark.parametrize(
    "bad",
    [
        {"id": -1},
        {"id": 2**31},
        {"mac": b"12345"},
        {"mac": b"1234567"},
        {"ipv4": b"123"},
        {"ipv4": bytes(16)},
        {"ipv6": bytes(4)},
        {"ipv4_prefix": 33},
        {"ipv4_prefix": -1},
        {"ipv6_prefix": 129},
        {"ipv6_prefix": 2**64},
    ],
)
def test_bad_values(bad: dict[str, object]) -> None:
    interfaces = InterfaceList()
    fine: dict[str, object] = {"id": 1, "mac": MAC, "ipv4": IPV4, "ipv6": IPV6}
    with pytest.raises(ValueError):
        interfaces.append(**(fine | bad))  # type: ignore[arg-type]
    assert len(interfaces) == 0
    assert interfaces.append(**fine) == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["id", "mac", "ipv4", "ipv6", "ipv4_prefix", "ipv6_prefix"])
@pytest.mark.parametrize("value", ["x", 1.5, bytearray(6)])
def test_other_types(field: str, value: object) -> None:
    interfaces = InterfaceList()
    with pytest.raises(TypeError):
        interfaces.append(**({"id": 1} | {field: value}))  # type: ignore[arg-type]
    assert len(interfaces) == 0


def test_refused_changes_leave_the_row() -> None:
    interfaces = InterfaceList()
    interfaces.append(1, MAC, IPV4, 24, IPV6, 64)
    changes: list[Callable[[], None]] = [
        lambda: interfaces.set_mac(0, b""),
        lambda: interfaces.set_ipv4(0, bytes(4), 33),
        lambda: interfaces.set_ipv4(0, bytes(5), 8),
        lambda: interfaces.set_ipv6(0, bytes(16), 129),
        lambda: interfaces.set_ipv6(0, bytes(4), 8),
    ]
    for change in changes:
        with pytest.raises(ValueError):
            change()
    assert (interfaces.mac(0), interfaces.ipv4(0), interfaces.ipv4_prefix(0)) == (MAC, IPV4, 24)
    assert (interfaces.ipv6(0), interfaces.ipv6_prefix(0)) == (IPV6, 64)
    with pytest.raises(OutOfRange):
        interfaces.find(2**31)


def test_growth_inside_an_argument() -> None:
    """An argument's own code may grow the list while a row is looked up."""
    interfaces = InterfaceList()
    interfaces.append(0)

    class Meddler:
        def __index__(self) -> int:
            for number in range(len(interfaces), len(interfaces) + 100):
                interfaces.append(number)
            return 0

    interfaces.set_ipv4(Meddler(), IPV4, Meddler())  # type: ignore[arg-type]
    assert (interfaces.ipv4(0), interfaces.ipv4_prefix(0), len(interfaces)) == (IPV4, 0, 201)
    with pytest.raises(Taken):
        interfaces.append(200, ipv4_prefix=Meddler())  # type: ignore[arg-type]


def test_no_copies() -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(InterfaceList())
    assert repr(InterfaceList()) == "<InterfaceList: 0>"


def test_extend() -> None:
    interfaces = InterfaceList()
    assert interfaces.extend(0) == 0
    assert interfaces.extend(3) == 0
    assert interfaces.extend(2, first_id=10) == 3
    assert interfaces.extend(1) == 5
    assert [interfaces.id(row) for row in range(6)] == [0, 1, 2, 10, 11, 12]
    assert interfaces.extend(7, first_id=3) == 6
    assert {interfaces.mac(row) for row in range(13)} == {interfaces.ipv6(12)} == {None}
    assert [interfaces.find(number) for number in (3, 9, 10, 12, 13)] == [6, 12, 3, 5, -1]


def test_extend_is_found_whatever_the_order() -> None:
    """An index that a search made before goes on with the rows that came after."""
    interfaces = InterfaceList()
    for number in range(50, 0, -2):
        interfaces.append(number)
    assert interfaces.find(4) == 23
    interfaces.extend(1000, first_id=60)
    assert (interfaces.find(1059), interfaces.find(60), interfaces.find(59)) == (1024, 25, -1)
    interfaces.append(7)
    interfaces.extend(2, first_id=2000)
    interfaces.append(1)
    assert [interfaces.find(number) for number in (7, 2001, 1, 4)] == [1025, 1027, 1028, 23]


@pytest.mark.parametrize(
    ("count", "first", "error"),
    [
        (3, 2, Taken),
        (1, 4, Taken),
        (2**31, 0, Taken),
        (-1, None, ValueError),
        (2**31 - 4, None, OutOfRange),
        (2, 2**31 - 1, OutOfRange),
        (2**64, 0, OutOfRange),
        pytest.param(10**5000, None, OutOfRange, id="huge"),
        (1, 2**31, OutOfRange),
        (1, -1, OutOfRange),
        ("1", None, TypeError),
        (1, "1", TypeError),
    ],
)
def test_extend_refused(count: int, first: int | None, error: type[Exception]) -> None:
    interfaces = InterfaceList()
    interfaces.append(4)
    with pytest.raises(error):
        interfaces.extend(count, first_id=first)
    assert (len(interfaces), interfaces.find(4)) == (1, 0)


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 1000])
def test_columns(rows: int) -> None:
    interfaces = InterfaceList()
    draw = random.Random(rows)
    for row in range(rows):
        interfaces.append(
            draw.randrange(2**20) * 1024 + row,
            draw.randbytes(6) if draw.random() < 0.8 else None,
            draw.randbytes(4) if draw.random() < 0.8 else None,
            draw.randrange(33),
            draw.randbytes(16) if draw.random() < 0.8 else None,
            draw.randrange(129),
        )
    for name, width in (("mac", 6), ("ipv4", 4), ("ipv6", 16)):
        with interfaces.column(name) as view:
            assert (view.format, view.shape, view.strides, view.readonly) == ("B", (rows, width), (36, 1), True)
            wanted = [getattr(interfaces, name)(row) or bytes(width) for row in range(rows)]
            assert view.tobytes() == b"".join(wanted)
    for name in ("id", "ipv4_prefix", "ipv6_prefix"):
        with interfaces.column(name) as view:
            assert (view.format, view.shape, view.strides) == ("i" if name == "id" else "B", (rows,), (36,))
            assert view.tolist() == [getattr(interfaces, name)(row) for row in range(rows)]
    with interfaces.column("fields") as view:
        assert view.tolist() == [
            (1 if interfaces.mac(row) else 0) | (2 if interfaces.ipv4(row) else 0) | (4 if interfaces.ipv6(row) else 0)
            for row in range(rows)
        ]


def test_a_view_pins_the_rows() -> None:
    interfaces = InterfaceList()
    interfaces.append(1, MAC)
    first, second = interfaces.column("mac"), interfaces.column("id")
    for add in (lambda: interfaces.append(2), lambda: interfaces.extend(1)):
        with pytest.raises(BufferError, match="release the view"):
            add()
    interfaces.set_mac(0, bytes(6))
    assert first.tobytes() == bytes(6)
    with pytest.raises(TypeError):
        first[0, 0] = 1
    part = first[:1]
    first.release()
    second.release()
    with pytest.raises(BufferError):
        interfaces.append(2)
    part.release()
    assert interfaces.append(2) == 1
    assert interfaces.extend(1) == 2


def test_a_view_outlives_the_list() -> None:
    interfaces = InterfaceList()
    interfaces.extend(500)
    view = interfaces.column("id")
    del interfaces
    assert view.tolist() == list(range(500))
    with pytest.raises(BufferError, match="strided"):
        array.array("B").frombytes(view.obj)


def test_no_such_column() -> None:
    with pytest.raises(ValueError, match="there are id, mac"):
        InterfaceList().column("MAC")
    with pytest.raises(TypeError):
        InterfaceList().column(None)  # type: ignore[arg-type]

"""Names of attributes: against pyroute2's tables, and at every offset of every message."""

from __future__ import annotations

import pickle
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from _fastnet.attributes import missing_name, name_of, path_of
from _fastnet.batch import Batch
from _fastnet.errors import NetlinkError


@pytest.mark.parametrize(
    ("message", "theirs"), [(16, ifinfmsg), (20, ifaddrmsg), (24, rtmsg), (28, ndmsg), (32, fibmsg)]
)
def test_names_are_those_of_pyroute2(message: int, theirs: Any) -> None:
    rows = [row if isinstance(row[0], int) else (number, row[0]) for number, row in enumerate(theirs.nla_map)]
    assert len(rows) > 10
    for number, name in (row[:2] for row in rows):
        assert {name_of(kind, number) for kind in range(message, message + 4)} == {name}


def test_what_has_no_name() -> None:
    assert name_of(16, 500) == "IFLA_500"
    assert name_of(80, 3) == "attribute 3"


def veth() -> bytes:
    batch = Batch()
    batch.add_veth("a", "b", mtu=1400)
    return batch.message(0)


def test_path_of_every_offset() -> None:
    raw = veth()
    found = {path_of(raw, offset): offset for offset in range(len(raw) + 8) if path_of(raw, offset)}
    assert raw[found["IFLA_MTU"] + 4 :][:4] == struct.pack("=I", 1400)
    assert raw[found["IFLA_LINKINFO/IFLA_INFO_KIND"] + 4 :][:5] == b"veth\0"
    assert {"IFLA_IFNAME", "IFLA_LINKINFO", "IFLA_LINKINFO/IFLA_INFO_DATA"} <= set(found)


def test_what_is_missing() -> None:
    raw = veth()
    info = next(offset for offset in range(len(raw)) if path_of(raw, offset) == "IFLA_LINKINFO")
    assert missing_name(raw, 3, -1) == "IFLA_IFNAME is missing"
    assert missing_name(raw, 1, info) == "IFLA_INFO_KIND is missing in IFLA_LINKINFO"
    assert missing_name(raw, 1, 3) == "attribute 1 is missing in a nest"


@given(st.binary(max_size=100), st.integers(-1, 120))
def test_any_bytes_have_a_path_or_none(raw: bytes, offset: int) -> None:
    assert isinstance(path_of(raw, offset), str)
    assert isinstance(path_of(veth()[:32] + raw, 32 + offset), str)


def test_an_error_says_which_attribute() -> None:
    error = NetlinkError(22, "set link 3", "mtu less than device minimum", 32, 1, "IFLA_MTU")
    assert str(error) == "[Errno 22] set link 3: Invalid argument (IFLA_MTU: mtu less than device minimum)"
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.attribute, again.offset) == (str(error), "IFLA_MTU", 32)
    assert str(NetlinkError(22, "x", attribute="IFLA_MTU")) == "[Errno 22] x: Invalid argument (IFLA_MTU)"

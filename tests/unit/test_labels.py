"""Labels of both generations, and text made into values."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driverapi import errors, labels


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        ("io.docker.network.driver.mtu", "com.docker.network.driver.mtu"),
        ("io.docker.network.endpoint.macaddress", labels.ENDPOINT_MAC),
        ("com.docker.network.driver.mtu", labels.MTU),
        ("Mtu", labels.MTU),
        ("BridgeName", labels.BRIDGE_NAME),
        ("EnableICC", labels.BRIDGE_ENABLE_ICC),
        ("PortBindings", labels.PORT_MAP),
        ("my.own", "my.own"),
        ("mtu", "mtu"),
        ("", ""),
    ],
)
def test_canonical(given_name: str, name: str) -> None:
    assert labels.canonical(given_name) == name
    assert labels.canonical(name) == name


def test_normalise_copies_and_lifts_what_is_generic() -> None:
    options = MappingProxyType({labels.GENERIC: {"Mtu": "1400", "a": 1}, "io.docker.network.internal": "true"})
    assert labels.normalise(options) == {labels.MTU: "1400", "a": 1, labels.INTERNAL: "true"}
    assert labels.normalise(None) == {}
    assert labels.normalise({"io.docker.network.generic": {"b": 2}}) == {"b": 2}
    assert labels.normalise({labels.GENERIC: None}) == {}


def test_one_option_under_two_names() -> None:
    assert labels.normalise({"Mtu": 9, labels.MTU: 9}) == {labels.MTU: 9}
    with pytest.raises(errors.InvalidError, match=r"driver\.mtu.*given twice, as 9 and 8"):
        labels.normalise({"Mtu": 9, labels.MTU: 8})
    with pytest.raises(errors.InvalidError, match="given twice"):
        labels.normalise({"io.docker.network.internal": True, labels.GENERIC: {labels.INTERNAL: False}})


@pytest.mark.parametrize("options", ["a=b", 5, [("a", "b")], {1: 2}, {None: 1}, {labels.GENERIC: "x"}])
def test_options_that_are_none(options: Any) -> None:
    with pytest.raises(errors.InvalidError, match="option"):
        labels.normalise(options)


@pytest.mark.parametrize("text", ["1", "t", "true", "TRUE", " yes ", "On", "y", True])
def test_true(text: Any) -> None:
    assert labels.as_bool("x", text) is True


@pytest.mark.parametrize("text", ["0", "f", "false", "FALSE", " no ", "Off", "n", False])
def test_false(text: Any) -> None:
    assert labels.as_bool("x", text) is False


@pytest.mark.parametrize("value", ["", "2", "maybe", 1, 0, None, [], b"true"])
def test_no_truth_value(value: Any) -> None:
    with pytest.raises(errors.InvalidError, match=r"'x\.y'"):
        labels.as_bool("x.y", value)


@given(st.integers(0, 10**9))
def test_numbers(number: int) -> None:
    assert labels.as_int("x", number, 0, 10**9) == number
    assert labels.as_int("x", f" {number} ", 0, 10**9) == number


@pytest.mark.parametrize("value", ["", "-1", "1.5", "0x10", "1e3", "٣", "1_000", "9" * 40, True, None, 1.0, -1, 101])
def test_no_number(value: Any) -> None:
    with pytest.raises(errors.InvalidError, match=r"'x\.y'.*from 0 to 100"):
        labels.as_int("x.y", value, 0, 100)

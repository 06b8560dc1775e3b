"""docs/drivers.md says every driver and every option."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from driverapi import DriverRegistry, labels
from driverapi.registry import BUILTIN

PAGE = re.sub(
    r"^```.*?^```$", "", (Path(__file__).parents[2] / "docs" / "drivers.md").read_text(), flags=re.MULTILINE | re.DOTALL
)
WORDS = set(re.findall(r"`([^`]+)`", PAGE))
OURS = {labels.IPAM_DATA, labels.MEMORY}  # not for users


@pytest.mark.parametrize("driver", BUILTIN)
def test_every_option_is_there(driver: str) -> None:
    rules = DriverRegistry().get(driver).rules  # type: ignore[attr-defined]
    assert driver in WORDS
    names = rules.known.union(rules.only, rules.refused, rules.configuration)
    assert {name.removeprefix(labels.PREFIX) for name in names} <= WORDS


def test_nothing_is_there_that_is_not() -> None:
    known = {name.removeprefix(labels.PREFIX) for name in vars(labels).values() if isinstance(name, str)}
    assert set(labels.SEED_NAMES) <= WORDS
    shown = {
        word
        for line in PAGE.splitlines()
        if line.startswith("| `")
        for word in re.findall(r"`([^`]+)`", line.split("|")[1])
    }
    seeds = {*labels.SEED_NAMES, *labels.FIXED, *labels.GATEWAYS, "EnableIPTables", "AllowNonDefaultBridge"}
    assert shown <= known | seeds | set(BUILTIN)

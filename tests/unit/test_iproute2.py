"""Our messages mean what iproute2's do, as captured from the commands that the verbs name: ``tests/golden``."""

from __future__ import annotations

import json

import pytest

from _fastnet.batch import Batch
from tests.golden.iproute2 import CASES, FILE, Case
from tests.golden.meaning import meaning, ours

CAPTURED = json.loads(FILE.read_text())

# Verbs without a command of iproute2's: dumps and columns apart, what ``ip`` cannot send or needs no golden message.
WITHOUT = {"set_link_ipv4", "add_link", "get_link", "delete_link", "append"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_the_same_meaning(case: Case) -> None:
    command, verb, args, kwargs = case
    assert meaning(ours(verb, args, kwargs)) == meaning(bytes.fromhex(CAPTURED[command]))


def test_every_verb_has_a_case() -> None:
    verbs = {name for name in dir(Batch) if name.startswith(("add_", "set_", "delete_", "get_", "append"))}
    columns = {name for name in verbs if name.endswith("s") and f"{name[:-1]}" in verbs}
    assert verbs - columns - {verb for _, verb, *_ in CASES} == WITHOUT


def test_the_comparison_sees_a_difference() -> None:
    command, verb, args, kwargs = CASES[0]
    theirs = meaning(bytes.fromhex(CAPTURED[command]))
    assert meaning(ours(verb, args, {**kwargs, "mtu": 1399})) != theirs
    assert meaning(ours(verb, args, {**kwargs, "peer_index": 7})) != theirs
    assert meaning(ours(verb, args, {**kwargs, "up": False})) != theirs

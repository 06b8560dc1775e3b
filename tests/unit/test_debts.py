"""What a plugin is yet to be told: in order, once, and not for ever."""

from __future__ import annotations

import pytest

from driverapi import errors
from driverapi.remote.debts import HEARD, Debt, Debts


def debt(number: int) -> Debt:
    return ("Leave", "net", f"end{number}")


def test_all_are_told_once_the_oldest_first() -> None:
    debts = Debts(3)
    for number in (2, 0, 1, 0):
        debts.owe(debt(number))
    told: list[Debt] = []
    debts.pay(told.append)
    debts.pay(told.append)
    assert told == [debt(2), debt(0), debt(1)]
    assert not debts


def test_no_more_are_kept_than_may_be() -> None:
    debts = Debts(2)
    for number in range(5):
        debts.owe(debt(number))
    assert len(debts) == 2
    told: list[Debt] = []
    debts.pay(told.append)
    assert told == [debt(0), debt(1)]


def test_a_no_of_the_plugin_is_an_answer() -> None:
    debts = Debts(2)
    told: list[Debt] = []

    def refuse(one: Debt) -> None:
        told.append(one)
        raise errors.NotFoundError("no such endpoint")

    debts.owe(debt(0))
    debts.owe(debt(1))
    debts.pay(refuse)
    assert told == [debt(0), debt(1)]
    assert not debts


@pytest.mark.parametrize(("outcome", "tries"), [("nothing", 50), ("unknown", HEARD - 1)])
def test_what_the_plugin_hangs_in_is_given_up_and_what_never_reached_it_is_not(outcome: str, tries: int) -> None:
    debts = Debts(2)
    debts.owe(debt(0))
    debts.owe(debt(1))
    told: list[Debt] = []

    def hang(one: Debt) -> None:
        told.append(one)
        if one == debt(0):
            raise errors.PluginDownError("plugin 'p' is down", outcome)

    for _ in range(tries):
        with pytest.raises(errors.PluginDownError):
            debts.pay(hang)
    assert told == [debt(0)] * tries
    assert len(debts) == (2 if outcome == "nothing" else 1)
    if outcome != "nothing":
        debts.pay(hang)
        assert told[-1] == debt(1)

"""Events: their names, levels and fields stay, each record has them all, and a bulk call is one record."""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from driverapi import EndpointInfo, Network, errors, events
from driverapi.events import EVENTS, FIELDS, emit, problems
from driverapi.lifecycle.lifecycle import Lifecycle
from driverapi.lifecycle.records import CreateRequest, JoinRequest
from driverapi.lifecycle.watching import Observer
from driverapi.store.memory import MemoryStore
from driverapi.testing import FakeDataplane
from tests.support import OwnDriver, World

ROOT = Path(__file__).parents[2]

# What programs rely on. Add to it; what is here stays as it is.
STABLE = {
    "aio.cancelled_failed": "ERROR",
    "bridge.still_flooded": "WARNING",
    "conntrack.absent": "DEBUG",
    "conntrack.still_tracked": "WARNING",
    "controller.close_failed": "ERROR",
    "controller.closed": "INFO",
    "controller.opened": "INFO",
    "driver.mac_drawn": "DEBUG",
    "driver.option_ignored": "WARNING",
    "endpoint.created": "INFO",
    "endpoint.deleted": "INFO",
    "endpoint.failed": "WARNING",
    "endpoint.joined": "INFO",
    "endpoint.left": "INFO",
    "endpoint.not_announced": "WARNING",
    "endpoints.attached": "INFO",
    "endpoints.created": "INFO",
    "endpoints.deleted": "INFO",
    "endpoints.detached": "INFO",
    "endpoints.failed": "WARNING",
    "endpoints.interrupted": "WARNING",
    "endpoints.joined": "INFO",
    "endpoints.left": "INFO",
    "ipam.not_released": "WARNING",
    "host.forwarding": "INFO",
    "network.created": "INFO",
    "network.deleted": "INFO",
    "network.failed": "WARNING",
    "network.not_forwarded": "WARNING",
    "network.parent_lost": "ERROR",
    "plugin.activated": "INFO",
    "plugin.fault": "ERROR",
    "plugin.no_default": "WARNING",
    "plugin.no_rule": "WARNING",
    "plugin.not_reconciled": "WARNING",
    "plugin.reconciled": "WARNING",
    "route.not_passed_on": "ERROR",
    "ports.lost": "WARNING",
    "remote.back": "INFO",
    "remote.down": "WARNING",
    "remote.failed": "WARNING",
    "remote.ignored": "WARNING",
    "remote.forgotten": "WARNING",
    "sandbox.created": "INFO",
    "sandbox.deleted": "INFO",
    "sandbox.files_failed": "ERROR",
    "state.owed": "WARNING",
    "state.restored": "INFO",
    "undo.failed": "ERROR",
    "warm.refill_failed": "WARNING",
    "warm.refilled": "DEBUG",
    "warm.takeaway_failed": "ERROR",
    "stream.failed": "ERROR",
    "watch.failed": "ERROR",
}
STABLE_FIELDS = {
    "address",
    "controller",
    "count",
    "driver",
    "endpoint",
    "endpoint_name",
    "error",
    "error_kind",
    "event",
    "failed",
    "hint",
    "network",
    "network_name",
    "option",
    "ports",
    "sandbox",
    "seconds",
    "verb",
}


@pytest.fixture
def web(world: World) -> Network:
    return world.ctl.create_network("bridge", "web", ipv4="10.7.0.0/16")


@pytest.fixture
def info(web: Network, caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, "driverapi"):
        yield caplog


@pytest.fixture
def debug(web: Network, caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG, "driverapi"):
        yield caplog


def said(caplog: pytest.LogCaptureFixture, **fields: Any) -> list[dict[str, Any]]:
    """Return the records so far as dicts of their fields, those that have such fields; and forget all."""
    records = []
    for record in caplog.records:
        assert record.name == f"driverapi.{record.event.partition('.')[0]}"  # type: ignore[attr-defined]
        assert "%(" not in record.getMessage()
        assert "None" not in record.getMessage(), record.getMessage()
        found = {field: getattr(record, field) for field in FIELDS}
        filled = {field for field, value in found.items() if value is not None} - {"event"}
        assert filled <= set(EVENTS[found["event"]].fields), found
        if fields.items() <= found.items():
            records.append(found)
    caplog.clear()
    return records


def names(records: list[dict[str, Any]]) -> list[str]:
    return [record["event"] for record in records]


# --- the table --------------------------------------------------------------------------------------------


def test_names_levels_and_fields_stay() -> None:
    assert {name: logging.getLevelName(event.level) for name, event in EVENTS.items()} == STABLE
    assert set(FIELDS) == STABLE_FIELDS


def test_each_event_is_well_formed() -> None:
    for name, event in EVENTS.items():
        assert re.fullmatch(r"[a-z]+\.[a-z_]+", name), name
        assert set(event.fields) <= set(FIELDS), name
        assert len(set(event.fields)) == len(event.fields), name
        used = set(re.findall(r"%\((\w+)\)", event.text))
        assert used <= set(event.fields), name
        assert event.meaning.endswith(".")


def test_no_field_is_one_of_logging_itself() -> None:
    record = logging.LogRecord("name", logging.INFO, "path", 1, "text", (), None)
    record.getMessage()
    assert not set(FIELDS) & (set(vars(record)) | {"message", "asctime", "taskName"})


def literals() -> dict[str, set[str]]:
    """Return the events that each file of the package emits, or asks for."""
    found: dict[str, set[str]] = {}
    for file in (ROOT / "src" / "driverapi").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("emit", "enabled"):
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    found.setdefault(file.name, set()).add(first.value)
                else:  # f"endpoint.{…}"
                    assert isinstance(first, ast.JoinedStr)
                    assert isinstance(first.values[0], ast.Constant)
                    word = first.values[0].value
                    alike = {
                        name
                        for name in EVENTS
                        if re.fullmatch(re.escape(word) + "(created|joined|left|deleted|attached|detached)", name)
                    }
                    assert alike, word
                    found.setdefault(file.name, set()).update(alike)
    return found


def test_what_is_emitted_is_in_the_table_and_what_is_in_the_table_is_emitted() -> None:
    assert set().union(*literals().values()) == set(EVENTS)


def test_nobody_else_logs() -> None:
    for file in (ROOT / "src" / "driverapi").rglob("*.py"):
        if file.name != "events.py" and "bench" not in file.parts:
            assert "getLogger" not in file.read_text(), file


def test_the_documentation_has_the_table() -> None:
    text = (ROOT / "docs" / "watching.md").read_text()
    assert events.table() in text
    for field, meaning in FIELDS.items():
        assert f"| `{field}` | {meaning} |" in text


def test_no_handler_but_the_null_one() -> None:
    handlers = logging.getLogger("driverapi").handlers
    assert [type(handler) for handler in handlers if type(handler).__module__ == "logging"] == [logging.NullHandler]


def test_an_event_that_is_not_in_the_table() -> None:
    with pytest.raises(KeyError):
        emit("endpoint.exploded")


# --- what is said -----------------------------------------------------------------------------------------


def test_the_life_of_one_endpoint(world: World, web: Network, info: pytest.LogCaptureFixture) -> None:
    box = world.ctl.create_sandbox("box")
    endpoint = web.create_endpoint("e")
    endpoint.join(box)
    key = box.key
    endpoint.leave()
    endpoint.delete()
    box.delete()
    records = said(info)
    assert names(records) == [
        "sandbox.created",
        "endpoint.created",
        "endpoint.joined",
        "endpoint.left",
        "endpoint.deleted",
        "sandbox.deleted",
    ]
    assert records[0]["sandbox"] == records[-1]["sandbox"] == key
    for record in records[1:-1]:
        assert record["network"] == web.id
        assert record["network_name"] == "web"
        assert record["driver"] == "bridge"
        assert record["endpoint"] == endpoint.id
        assert record["endpoint_name"] == "e"
        assert record["seconds"] > 0
    assert [record["sandbox"] for record in records[1:-1]] == [None, key, key, None]


def test_networks(world: World, info: pytest.LogCaptureFixture) -> None:
    other = world.ctl.create_network("own", "other")
    other.delete()
    world.own.refuse["create_network"] = errors.InvalidError("not so")
    with pytest.raises(errors.InvalidError):
        world.ctl.create_network("own", "third")
    world.own.refuse.clear()
    created, deleted, failed = said(info)
    assert (created["event"], deleted["event"], failed["event"]) == (
        "network.created",
        "network.deleted",
        "network.failed",
    )
    assert created["network"] == deleted["network"] == other.id
    assert created["network_name"] == "other"
    assert (failed["verb"], failed["error_kind"], failed["error"]) == ("create_network", "invalid", "not so")


def test_a_bulk_call_is_one_record(web: Network, info: pytest.LogCaptureFixture) -> None:
    endpoints = web.attach(1000)
    web.detach(endpoints)
    up, down = said(info)
    assert (up["event"], up["count"], up["failed"]) == ("endpoints.attached", 1000, 0)
    assert (down["event"], down["count"], down["failed"]) == ("endpoints.detached", 1000, 0)
    assert up["network"] == down["network"] == web.id
    assert up["seconds"] > 0


def test_each_endpoint_where_that_is_wanted(web: Network, debug: pytest.LogCaptureFixture) -> None:
    endpoints = web.attach(3)
    keys = [one.sandbox.key for one in endpoints if one.sandbox]
    web.detach(endpoints)
    records = said(debug)
    assert names(records) == [
        *["endpoint.created"] * 3,
        *["endpoint.joined"] * 3,
        "endpoints.attached",
        *["endpoint.left"] * 3,
        *["endpoint.deleted"] * 3,
        "endpoints.detached",
    ]
    ids = [one.id for one in endpoints]
    assert [record["endpoint"] for record in records] == [*ids, *ids, None, *ids, *ids, None]
    assert [record["sandbox"] for record in records[3:6]] == keys
    assert {record["network_name"] for record in records} == {"web"}


def test_failures_of_a_bulk_call_by_kind(world: World, info: pytest.LogCaptureFixture) -> None:
    small = world.ctl.create_network("bridge", "small", ipv4="10.9.0.0/29")  # five for endpoints
    said(info)
    world.bridge.refuse["join"] = errors.KernelLimitError("no more ports")
    endpoints = small.attach(7)
    world.bridge.refuse.clear()
    assert all(one.error for one in endpoints)
    records = said(info)
    assert [(one["event"], one["failed"], one["error_kind"]) for one in records] == [
        ("endpoints.attached", 7, None),
        ("endpoints.failed", 7, "exhausted"),
    ]
    assert records[0]["count"] == 0
    assert records[1]["verb"] == "attach"


def test_a_failure_is_told_of_without_any_configuration(
    world: World, web: Network, caplog: pytest.LogCaptureFixture
) -> None:
    world.bridge.refuse["join"] = RuntimeError("broken")
    box = world.ctl.create_sandbox("box")
    endpoint = web.create_endpoint("e")
    with pytest.raises(errors.DriverFaultError):
        endpoint.join(box)
    world.bridge.refuse.clear()
    (failed,) = said(caplog)
    assert (failed["event"], failed["verb"], failed["error_kind"]) == ("endpoint.failed", "join", "internal")
    assert (failed["endpoint"], failed["sandbox"]) == (endpoint.id, box.key)
    assert "broken" in failed["error"]


def test_what_the_network_refuses_itself(world: World, web: Network, caplog: pytest.LogCaptureFixture) -> None:
    web.create_endpoint("e", ipv4="10.7.0.9")
    with pytest.raises(errors.AddressTakenError):
        web.create_endpoint("f", ipv4="10.7.0.9")
    (failed,) = said(caplog)
    assert (failed["event"], failed["endpoint_name"], failed["error_kind"]) == ("endpoint.failed", "f", "conflict")


def test_what_is_asked_of_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """A network or an endpoint that there is not: its id where one is known, and never ``None``."""
    dataplane = FakeDataplane()
    lifecycle = Lifecycle(dataplane, MemoryStore())
    lifecycle.create([CreateRequest("no-such-network", "e", EndpointInfo())])
    lifecycle.join([JoinRequest("e", dataplane.foreign_sandbox("/box"))])
    lifecycle.delete(["e"])
    texts = [record.getMessage() for record in caplog.records]
    assert [record["network"] for record in said(caplog)] == ["no-such-network", None, None]
    assert [text.partition(": ")[0] for text in texts] == [
        "endpoint e on network no-such-netw",
        "endpoint e on network (unknown)",
        "endpoint e on network (unknown)",
    ]


def test_an_undo_that_fails(world: World, web: Network, caplog: pytest.LogCaptureFixture) -> None:
    before = problems().get("undo.failed", 0)
    endpoint = web.create_endpoint("e")
    box = world.ctl.create_sandbox("box")
    world.dataplane.faults[endpoint.id] = errors.KernelError("first")
    world.bridge.refuse["leave"] = errors.KernelError("second")
    with pytest.raises(errors.KernelError, match="first"):
        endpoint.join(box)
    world.bridge.refuse.clear()
    world.dataplane.faults.clear()
    undo, failed = said(caplog)
    assert (undo["event"], undo["error"]) == ("undo.failed", "second")
    assert (failed["event"], failed["error"]) == ("endpoint.failed", "first")
    assert problems()["undo.failed"] == before + 1


def test_an_interrupt(world: World, web: Network, caplog: pytest.LogCaptureFixture) -> None:
    endpoint = web.create_endpoint("e")
    box = world.ctl.create_sandbox("box")
    world.dataplane.faults[endpoint.id] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        endpoint.join(box)
    world.dataplane.faults.clear()
    (record,) = said(caplog)
    assert (record["event"], record["verb"], record["error"]) == ("endpoints.interrupted", "join", "KeyboardInterrupt")


def test_closing(world: World, web: Network, info: pytest.LogCaptureFixture) -> None:
    (endpoint,) = web.attach(1)
    said(info)
    world.dataplane.stuck[endpoint.id] = errors.KernelError("stuck")
    with pytest.raises(errors.BulkError):
        world.ctl.close()
    (failed,) = said(info, event="controller.close_failed")
    assert failed["error"]
    assert failed["failed"] >= 1
    world.dataplane.stuck.clear()
    world.ctl.close()
    assert names(said(info))[-1] == "controller.closed"


def test_out_of_a_warm_pool(world: World, web: Network, info: pytest.LogCaptureFixture) -> None:
    world.ctl.warm(web, 2)
    said(info)
    endpoints = web.attach(1)
    (record,) = said(info, event="endpoints.attached")
    assert (record["count"], record["network"]) == (1, web.id)
    assert len(endpoints) == 1


# --- the lifecycle alone, as the plugin server has it -----------------------------------------------------


def test_calls_for_several_without_a_controller(caplog: pytest.LogCaptureFixture) -> None:
    dataplane = FakeDataplane()
    lifecycle = Lifecycle(dataplane, MemoryStore())
    (box,) = dataplane.make_sandboxes(["box"])
    with caplog.at_level(logging.INFO, "driverapi"):
        lifecycle.create_network("net", OwnDriver(), {})
        lifecycle.create([CreateRequest("net", id, EndpointInfo()) for id in ("a", "b")])
        lifecycle.join([JoinRequest("a", box), JoinRequest("nobody", box)])
        lifecycle.leave([JoinRequest("a", box)])
        lifecycle.delete(["a", "b"])
        lifecycle.delete([])
        lifecycle.delete_network("net")
        records = said(caplog)
    assert [(one["event"], one["count"], one["failed"]) for one in records] == [
        ("network.created", None, None),
        ("endpoints.created", 2, 0),
        ("endpoints.joined", 1, 1),
        ("endpoints.failed", None, 1),
        ("endpoint.left", None, None),
        ("endpoints.deleted", 2, 0),
        ("network.deleted", None, None),
    ]
    assert records[4]["endpoint_name"] == "a"
    assert {one["network"] for one in records[:2]} == {"net"}


class Broken(Observer):
    def __init__(self) -> None:
        self.asked = 0

    def called(self, *_: object) -> None:
        self.asked += 1
        raise ZeroDivisionError("broken")


def test_an_observer_that_raises_harms_nothing(world: World, web: Network, caplog: pytest.LogCaptureFixture) -> None:
    observer = Broken()
    world.ctl._lifecycle.watch.add(observer)
    endpoint = web.create_endpoint("e")
    endpoint.delete()
    assert observer.asked == 1
    assert names(said(caplog)) == ["watch.failed"]

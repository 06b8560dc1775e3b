"""Our own server as a plugin of others, and what a client of plugins holds."""

from __future__ import annotations

import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from driverapi import errors, labels
from driverapi.addresses import parse_prefix
from driverapi.api import EndpointInfo, IPAMData, JoinInfo, Origin
from driverapi.plugin import Plugin
from driverapi.remote import RemoteDriver
from driverapi.remote.client import PluginClient
from driverapi.testing import FakeDataplane
from tests.scripted import Tiny, held

NET = "1f" * 32
END = "2e" * 32
KEY = "/var/run/docker/netns/0123456789ab"


def test_our_own_server(tmp_path: Path) -> None:
    with Plugin("bridge", dataplane=FakeDataplane()) as plugin:
        path = plugin.listen(tmp_path / "own.sock")
        driver = RemoteDriver("own", f"unix://{path}")
        assert driver.scope == "local"
        prefix = IPAMData(parse_prefix("10.9.0.0/16"), parse_prefix("10.9.0.1/16"))
        driver.create_network(NET, {labels.IPAM_DATA: (prefix,)})
        info = EndpointInfo(Origin.GIVEN)
        info._append(0, None, "10.9.0.2/16", None)
        driver.create_endpoint(NET, END, info, {})
        assert info.interfaces[0].packed_mac is not None
        join = JoinInfo(info)
        driver.join(NET, END, KEY, join, {})
        assert join.interface_names[0]._name == "eth"
        with pytest.raises(errors.NoEndpointError):
            driver.endpoint_oper_info(NET, NET)
        with pytest.raises(errors.NoNetworkError):
            driver.delete_network(END)
        driver.leave(NET, END)
        driver.delete_endpoint(NET, END)
        driver.delete_network(NET)
        assert plugin.health()["Networks"] == 0
        driver._client.close()


def test_our_own_server_may_give_up_an_endpoint_that_is_in_no_sandbox(tmp_path: Path) -> None:
    with Plugin("bridge", dataplane=FakeDataplane(), grace=0) as plugin:
        path = plugin.listen(tmp_path / "own.sock")
        driver = RemoteDriver("own", f"unix://{path}")
        driver.create_network(NET, {labels.IPAM_DATA: (IPAMData(parse_prefix("10.9.0.0/16"), None),)})
        info = EndpointInfo(Origin.GIVEN)
        info._append(0, None, "10.9.0.2/16", None)
        driver.create_endpoint(NET, END, info, {})
        assert plugin.health()["Endpoints"] == 1
        PluginClient("own", f"unix://{path}").check_implements("NetworkDriver")  # another process, or an engine
        until = time.monotonic() + 20
        while plugin.health()["Endpoints"] and time.monotonic() < until:
            time.sleep(0.01)
        assert plugin.health()["Endpoints"] == 0
        driver.join(NET, END, KEY, JoinInfo(info), {})
        assert plugin.health()["Endpoints"] == 1
        driver.leave(NET, END)
        driver.delete_endpoint(NET, END)
        driver.delete_network(NET)


def test_connections_go_with_their_client(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path / "tiny.sock")
    for ring in (False, True):
        client = PluginClient("tiny", f"unix://{tiny.path}")
        assert client.implements
        [kept] = client._idle
        if ring:
            client.name = client  # type: ignore[assignment]
        del client
        gc.collect()
        assert kept._socket.fileno() == -1
    tiny.stop()


def test_a_client_is_of_one_process(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path / "tiny.sock")
    client = PluginClient("tiny", f"unix://{tiny.path}")
    assert client.implements == ("NetworkDriver", "IpamDriver")
    before = list(client._idle)
    client._pid = -1  # as after a fork
    client.call("NetworkDriver.Leave", {"EndpointID": END}, dict)
    assert client._idle != before
    client.close()
    tiny.stop()


def test_what_is_owed_is_told_before_anything_that_is_asked_meanwhile(tmp_path: Path) -> None:
    """A Leave that comes late would undo the Join that its caller has tried again."""
    tiny = Tiny(tmp_path / "tiny.sock")
    driver = RemoteDriver("tiny", f"unix://{tiny.path}")
    info = EndpointInfo(Origin.GIVEN)
    info._append(0, None, "10.9.0.2/16", None)
    driver.create_network(NET, {})
    driver.create_endpoint(NET, END, info, {})
    came, go = threading.Event(), threading.Event()

    tiny.script["Leave"] = held(came, go)
    driver._debts.owe(("Leave", NET, END))
    with ThreadPoolExecutor(2) as pool:
        others = pool.submit(driver.endpoint_oper_info, NET, END)
        assert came.wait(10)
        joined = pool.submit(driver.join, NET, END, KEY, JoinInfo(info), {})
        early = wait([joined], 0.1).done
        go.set()
        joined.result(10)
        others.result(10)
    assert not early
    assert not driver._debts
    tiny.stop()

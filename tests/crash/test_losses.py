"""Starts after something was lost, and starts that fail or are killed in the middle: nothing more is lost by them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from _fastnet.batch import Batch
from _fastnet.socket import NetlinkSocket
from driverapi import errors
from driverapi.dataplane.adoption import LinuxSurvey
from driverapi.leftovers import take_inventory, wait_until_drained
from driverapi.store.sqlite import SqliteStore
from tests.crash.steps import Death
from tests.kernel.test_state import DUAL, Place, addresses, ping

pytestmark = pytest.mark.usefixtures("private_kernel")

KINDS = {
    "bridge": ("bridge", {}),
    "bridge of a name": ("bridge", {"options": {"com.docker.network.bridge.name": "br-web"}}),
    "routed": ("routed", {}),
}


@pytest.fixture
def place(tmp_path: Path, host: NetlinkSocket, private_kernel: None) -> Iterator[Place]:
    run = str(tmp_path / "run")
    before = take_inventory(run)
    yield Place(tmp_path)
    assert not wait_until_drained(before, run, 20)
    assert list((tmp_path / "run").iterdir()) == []


def _delete_networks_link(host: NetlinkSocket) -> None:
    [link] = [one for one in host.dump_links() if one.kind == "bridge"]
    batch = Batch()
    batch.delete_link(link.index)
    assert host.execute(batch).ok


@pytest.mark.parametrize("kind", KINDS)
def test_a_start_that_is_killed_when_it_has_made_a_network_anew(
    place: Place, kind: str, host: NetlinkSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, more = KINDS[kind]
    ctl = place.start()
    ctl.create_network(driver, "web", **DUAL, **more).create_endpoint("one").join(ctl.create_sandbox("box"))  # type: ignore[arg-type]
    place.kill()
    _delete_networks_link(host)

    def die(*_: Any) -> None:
        raise Death

    with monkeypatch.context() as patch:
        patch.setattr(SqliteStore, "put", die)
        with pytest.raises(Death):
            place.start()
    ctl = place.start()
    assert ctl.restored is not None
    assert ctl.restored.rebuilt == ("web",)
    web = ctl.network("web")
    if web.endpoint("one").sandbox is not None:  # a routed one lives without the link
        web.endpoint("one").leave()
    web.endpoint("one").join(ctl.sandbox("box"))
    assert ping(web.endpoint("one"), web.gateway)
    place.kill()
    assert len([one for one in host.dump_links() if one.kind == "bridge"]) == 1
    ctl = place.start()
    assert ctl.restored is not None
    assert not ctl.restored.mended
    place.clear()


@pytest.mark.parametrize("step", ["sandboxes", "network", "endpoints", "sweep", "put"])
def test_a_start_that_fails_leaves_all_as_it_is(
    place: Place, step: str, host: NetlinkSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctl = place.start()
    web = ctl.create_network("bridge", "web", **DUAL)
    web.attach(20, strict=True)
    before = (addresses(web), sorted(link.name for link in host.dump_links()))
    place.kill()
    kind: type = SqliteStore if step == "put" else LinuxSurvey
    inner = getattr(kind, step)

    def refuse(*args: Any) -> None:
        inner(*args)
        raise errors.KernelError("no more", 12)

    with monkeypatch.context() as patch:
        patch.setattr(kind, step, refuse)
        with pytest.raises(errors.KernelError, match="no more"):
            place.start()
    ctl = place.start()
    assert ctl.restored is not None
    assert not ctl.restored.mended, ctl.restored
    web = ctl.network("web")
    assert (addresses(web), sorted(link.name for link in host.dump_links())) == before
    assert ping(web.endpoints[7], web.endpoints[13].interfaces[0].address.ip)
    place.clear()

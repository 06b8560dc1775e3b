"""Two controllers beside each other, in one network namespace and one run directory: each touches its own alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from _fastnet.socket import NetlinkSocket
from driverapi import Controller
from driverapi.doctor import examine, mend
from driverapi.doctor.look import id_of_link
from driverapi.leftovers import namespace_mounts, take_inventory, wait_until_drained
from tests.crash.killing import Killing
from tests.crash.verbs import facts
from tests.crash.whole import wrong_in_books
from tests.kernel.test_state import ping

pytestmark = pytest.mark.usefixtures("private_kernel")

KILLS = 8


def owned(host: NetlinkSocket, ctl: Controller) -> set[object]:
    """All in the kernel that carries the id of a controller."""
    assert ctl._instance is not None
    links = {(one.index, one.name, one.master) for one in host.dump_links() if id_of_link(one) == ctl._instance.id}
    return {*links, *namespace_mounts(str(ctl._instance.directory))}


def test_one_is_killed_again_and_again(tmp_path: Path, host: NetlinkSocket, same_descriptors: None) -> None:
    run = tmp_path / "run"
    before = take_inventory(str(tmp_path))
    with Controller(state=tmp_path / "beside.db", run_dir=run) as living, Controller(run_dir=run) as third:
        net = living.create_network("bridge", "beside", ipv4="172.31.0.0/24", ipv6="fd99::/64")
        kept = net.attach(20, strict=True)
        third.create_network("routed", "third", ipv4="172.30.0.0/24").attach(20, strict=True)
        then = [(facts(ctl), owned(host, ctl)) for ctl in (living, third)]
        assert all(things for _, things in then)
        killing = Killing(tmp_path, 5)
        try:
            for _ in range(KILLS):
                killing.kill()
                with Controller(state=killing.state, run_dir=run) as other:
                    assert killing.ledger.check(facts(other)) == []
                    assert wrong_in_books(other) == []
                report = examine(run)
                assert report.findings == []
                assert mend(report) == []
                assert [(facts(ctl), owned(host, ctl)) for ctl in (living, third)] == then
                assert Counter(one.owner for one in report.instances)["process"] == 2
            killing.clear()
        finally:
            killing.close()
        assert killing.faults == []
        assert ping(kept[3], net.gateway)
        net.detach(kept)
        net.delete()
    assert not wait_until_drained(before, str(tmp_path), 20)
    assert list(run.iterdir()) == []

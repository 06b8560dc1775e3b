"""``driverapi demo`` on the real kernel: as whoever runs the tests, as nobody, and with something wrong.

Each run is a process of its own, which enters private namespaces before it does anything.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from typing import Any

import pytest

NOBODY = 65534
AS_NOBODY = ("setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", "--")
NOTHING = {"links": 0, "namespaces": 0, "addresses": 0}

Done = subprocess.CompletedProcess[str]


def environment() -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def python(*arguments: str, prefix: tuple[str, ...] = ()) -> Done:
    return subprocess.run(
        [*prefix, sys.executable, *arguments],
        env=environment(),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def demo(*options: str, prefix: tuple[str, ...] = ()) -> Done:
    return python("-m", "driverapi", "demo", *options, prefix=prefix)


def in_private_namespaces(program: str) -> Any:
    """Run a program in namespaces of its own; return what it leaves in ``answer``."""
    head = "from driverapi._private import enter_private_namespaces\nenter_private_namespaces()\n"
    tail = "\nimport json; print(json.dumps(answer))"
    done = python("-W", "error", "-c", head + textwrap.dedent(program) + tail)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check(done: Done, endpoints: int) -> None:
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert done.stderr == ""
    document = json.loads(done.stdout)
    assert document["endpoints"] == document["reachable"] == endpoints
    assert document["driver"] == "bridge"
    assert document["left"] == NOTHING
    assert document["errors"] == []
    # proof that there was something: a bridge and the host ends; two addresses on the
    # bridge and two in each sandbox
    made = document["made"]
    assert made["links"] == 1 + endpoints
    assert made["namespaces"] == endpoints
    assert made["addresses"] >= 2 + 2 * endpoints
    assert document["pings"]["answered"] == document["pings"]["sent"] == 4 * endpoints
    assert list(document["phases"]) == ["network", "attach", "ping", "detach", "drain"]
    for phase in document["phases"].values():
        assert phase["seconds"] > 0
        assert phase["per_second"] > 0


def test_a_network_that_has_no_gateway_of_the_hosts() -> None:
    done = demo("--driver", "macvlan", "--endpoints", "5", "--json")
    assert done.returncode == 0, done.stdout
    document = json.loads(done.stdout)
    assert (document["driver"], document["reachable"], document["left"]) == ("macvlan", 5, NOTHING)


def test_as_we_are() -> None:
    check(demo("--endpoints", "12", "--json"), 12)


def test_as_nobody() -> None:
    if os.geteuid() != 0 or os.uname().sysname != "Linux":
        pytest.skip("only root can become somebody else; the test above ran without root already")
    if python("-c", "import driverapi._native, click", prefix=AS_NOBODY).returncode != 0:
        pytest.skip(f"user {NOBODY} cannot be become here, or cannot read this interpreter or package")
    check(demo("--endpoints", "12", "--json", prefix=AS_NOBODY), 12)


def test_one_pings_the_gateway_twice() -> None:
    check(demo("--endpoints", "1", "--json"), 1)


def test_table() -> None:
    done = demo("--endpoints", "3")
    assert done.returncode == 0
    assert "3 of 3 sandboxes" in done.stdout
    assert "0 links, 0 namespaces, 0 addresses" in done.stdout
    assert done.stderr == ""


def test_the_network_of_the_caller_stays_as_it_is() -> None:
    def links() -> list[str]:
        return sorted(os.listdir("/sys/class/net"))

    before, namespace = links(), os.readlink("/proc/self/ns/net")
    assert demo("--endpoints", "2", "--json").returncode == 0
    assert (links(), os.readlink("/proc/self/ns/net")) == (before, namespace)


def test_a_link_that_is_down_is_found() -> None:
    """One host end is taken down: its sandbox reaches nothing, and the one before does not reach it."""
    document, ok = in_private_namespaces(
        """
        from driverapi._native import Batch, NetlinkSocket
        from driverapi.demo import Observer, run

        class Cut(Observer):
            def begin(self, phase, total):
                if phase == "ping":
                    with NetlinkSocket() as netlink:
                        victim = next(link for link in netlink.dump_links() if link.kind == "veth")
                        batch = Batch()
                        batch.set_link(victim.index, up=False)
                        netlink.execute(batch).check()

        report = run(5, observer=Cut())
        answer = report.document(), report.ok
        """
    )
    assert not ok
    assert document["reachable"] == 3
    assert document["pings"]["answered"] == 20 - 6
    assert document["error_count"] == 6
    assert all("no answer from" in error or "unreachable" in error for error in document["errors"])
    assert document["left"] == NOTHING


def test_an_endpoint_that_fails_is_found() -> None:
    document, ok = in_private_namespaces(
        """
        from driverapi import DriverRegistry
        from driverapi.demo import run
        from driverapi.drivers.bridge import BridgeDriver
        from driverapi.testing import Recorder

        class Picky(Recorder):
            joins = 0

            def join(self, *arguments):
                self.joins += 1
                if self.joins == 2:
                    raise ValueError("not this one")
                super().join(*arguments)

        registry = DriverRegistry()
        registry.register("picky", Picky(BridgeDriver()))
        report = run(4, "picky", registry=registry)
        answer = report.document(), report.ok
        """
    )
    assert not ok
    assert document["reachable"] == 3
    assert document["pings"]["answered"] == document["pings"]["sent"] == 12
    assert document["error_count"] == 1
    assert "not this one" in document["errors"][0]
    assert document["left"] == NOTHING


def test_what_is_left_is_counted() -> None:
    counts = in_private_namespaces(
        """
        import os
        from driverapi._native import Batch, NetlinkSocket, create_namespaces, drop_namespaces
        from driverapi.leftovers import take_inventory, wait_until_drained

        os.mkdir("/run/a b")
        before = take_inventory("/run/a b")
        (namespace,) = create_namespaces(["/run/a b/one"])
        answer = [wait_until_drained(before, "/run/a b", 0)]
        with NetlinkSocket() as netlink:
            batch = Batch()
            batch.add_veth("host", "guest", index=77, peer_index=78, namespace=namespace.fileno(), up=True)
            batch.add_address(77, bytes([10, 9, 8, 7]), 24)
            netlink.execute(batch).check()
        answer.append(wait_until_drained(before, "/run/a b", 0))
        drop_namespaces(["/run/a b/one"])
        answer.append(wait_until_drained(before, "/run/a b", 0))  # alive, although no path is left
        namespace.close()
        answer.append(wait_until_drained(before, "/run/a b", 10))
        answer = [[left.links, left.namespaces, left.addresses] for left in answer]
        """
    )
    assert counts == [[0, 1, 0], [1, 1, 1], [1, 1, 1], [0, 0, 0]]


def test_neighbours_are_forgotten() -> None:
    """Waves leave no entries behind, and the permanent ones stay."""
    during, after, permanent, answered = in_private_namespaces(
        """
        from driverapi import Controller
        from driverapi._native import open_namespace
        from driverapi import pinger

        PERMANENT, NOARP = 0x80, 0x40  # the latter: multicast, made by the kernel at its own times

        def entries(mask, wanted):
            found = 0
            for endpoint in endpoints:
                with open_namespace(endpoint.sandbox.key) as namespace:
                    known = namespace.socket.dump_neighbours()
                found += sum(entry.state & mask == wanted for entry in known)
            return found

        def learned():
            return entries(PERMANENT | NOARP, 0)

        def permanent():
            return entries(PERMANENT, PERMANENT)

        seen = []
        forget = pinger.forget_neighbours

        def spy(places):
            seen.append(learned())
            forget(places)

        pinger.forget_neighbours = spy
        with Controller() as controller:
            network = controller.create_network("bridge", "net", ipv4="10.77.0.0/16", ipv6="fd77::/64")
            endpoints = network.attach(6, strict=True)
            before = permanent()
            requests = []
            for one, other in zip(endpoints, endpoints[1:] + endpoints[:1]):
                (interface,) = other.interfaces
                for address in interface.packed_addresses:
                    requests.append(
                        pinger.Ping(one.sandbox.key, address.ip, target_namespace=other.sandbox.key)
                    )
            results = pinger.ping(requests, wave=4)
            answered = sum(one.answered for one in results)
            answer = seen, learned(), [before, permanent()], answered
        """
    )
    assert answered == 12
    assert len(during) == 3
    assert min(during) >= 4, "each wave learned something"
    assert after == 0
    assert permanent[0] == permanent[1] >= 12


def test_interrupt_takes_all_away() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "driverapi", "demo", "--endpoints", "900", "--json"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
    )
    # in the middle of the work: its own namespace has links
    own = os.readlink("/proc/self/ns/net")
    until = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < until:
        if os.readlink(f"/proc/{process.pid}/ns/net") != own:
            with open(f"/proc/{process.pid}/net/dev", encoding="ascii") as lines:
                if sum(1 for _ in lines) > 20:
                    break
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "driverapi: interrupted\n")


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare(1)")
def test_where_namespaces_are_not_allowed() -> None:
    """In a user namespace of the test's own, whose limits are set to none."""
    limits = "for kind in net user mnt; do echo 0 > /proc/sys/user/max_${kind}_namespaces; done; "
    done = python("-m", "driverapi", "demo", prefix=("unshare", "-Ur", "sh", "-c", limits + 'exec "$@"', "sh"))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("driverapi: error: ")
    assert done.stderr.count("\n") == 1
    assert "root" in done.stderr
    assert "user namespaces" in done.stderr

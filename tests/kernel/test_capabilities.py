"""Which capabilities it takes: two for a controller, one more for the demo's pings; who lacks one is told its name.

Each case is a process of its own that enters private namespaces, gives up all capabilities but those named, for good,
and says what came of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

PRELUDE = """
import ctypes, json, os, struct, sys
from driverapi import Controller, errors
from driverapi._private import enter_private_namespaces
from driverapi._native import NetlinkSocket

# include/uapi/linux/capability.h, prctl.h
NET_ADMIN, NET_RAW, SYS_ADMIN = 12, 13, 21
PR_CAPBSET_DROP, PR_SET_SECUREBITS, PR_CAP_AMBIENT = 24, 28, 47
LAST = int(open("/proc/sys/kernel/cap_last_cap").read())
libc = ctypes.CDLL(None, use_errno=True)

def keep(*kept):
    for number in range(LAST + 1):
        if number not in kept:
            assert libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0) == 0, os.strerror(ctypes.get_errno())
    bits = sum(1 << number for number in kept)
    low, high = bits & 0xFFFFFFFF, bits >> 32
    header = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread: there is no other
    data = struct.pack("=6I", low, low, 0, high, high, 0)  # effective, permitted, inheritable
    assert libc.capset(header, data) == 0, os.strerror(ctypes.get_errno())
    assert capabilities() == {"CapInh": 0, "CapPrm": bits, "CapEff": bits, "CapBnd": bits, "CapAmb": 0}, capabilities()

def capabilities():
    lines = [line.split() for line in open("/proc/self/status") if line.startswith("Cap")]
    return {name.rstrip(":"): int(value, 16) for name, value in lines}

def links():
    with NetlinkSocket() as socket:
        return [link.name for link in socket.dump_links()]

def refused(call):
    try:
        call()
    except errors.DriverAPIError as error:
        return [type(error).__name__, error.kind.value, str(error)]

def report(**what):
    print(json.dumps(what))

def switch_forwarding_on():
    # Before Linux 6.17 driver routed asks this of its user. The namespace is our own.
    conf = "/proc/sys/net/ipv6/conf/all/"
    if os.path.isdir(conf) and not os.path.exists(conf + "force_forwarding"):
        with open(conf + "forwarding", "w") as switch:
            switch.write("1")

enter_private_namespaces()
switch_forwarding_on()
"""


def run(script: str) -> dict[str, Any]:
    environment = {
        key: value for key, value in os.environ.items() if key not in ("XDG_RUNTIME_DIR", "DRIVERAPI_RUN_DIR")
    }
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + script],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("driver", ["bridge", "routed"])
def test_two_capabilities_suffice(driver: str) -> None:
    """Single and in bulk, in sandboxes of ours and in one that exists, beyond one bridge, warm, and all away again."""
    said = run(f"""
keep(NET_ADMIN, SYS_ADMIN)
with Controller() as ctl:
    net = ctl.create_network({driver!r}, "net", ipv4="10.1.0.0/16", ipv6="fd01::/64")
    box = ctl.create_sandbox("box")
    ep = net.create_endpoint("ep")
    ep.join(box)
    there = ctl.create_sandbox("there", netns=ctl.create_sandbox("again").key)
    other = net.create_endpoint("other")
    other.join(there)
    many = net.attach(520)
    failed = [str(one.error) for one in many if one.error]
    net.detach(many)
    ctl.warm(net, 4)
    taken = net.attach(2)
    failed += [str(one.error) for one in taken if one.error]
    net.detach(taken)
    for one in (ep, other):
        one.leave()
        one.delete()
    box.delete()
    net.delete()
    left = links()
report(failed=failed, up=len(many), left=left, run=os.listdir("/run/driverapi"), held=capabilities()["CapEff"])
""")
    assert said == {"failed": [], "up": 520, "left": ["lo"], "run": [], "held": 1 << 12 | 1 << 21}


def test_a_controller_that_is_closed_with_all_it_has() -> None:
    said = run("""
keep(NET_ADMIN, SYS_ADMIN)
ctl = Controller()
for driver, prefix in (("bridge", "10.1.0.0/24"), ("routed", "10.2.0.0/24")):
    ctl.create_network(driver, driver, ipv4=prefix).attach(20, strict=True)
ctl.close()
report(left=links(), run=os.listdir("/run/driverapi"))
""")
    assert said == {"left": ["lo"], "run": []}


def test_without_net_admin() -> None:
    said = run("""
keep(SYS_ADMIN)
with Controller() as ctl:
    net = refused(lambda: ctl.create_network("bridge", "net", ipv4="10.1.0.0/24"))
    routed = refused(lambda: ctl.create_network("routed", "routed", ipv4="10.2.0.0/24"))
    report(errors=[net, routed], networks=len(ctl.networks), links=links())
""")
    assert said["networks"] == 0
    assert said["links"] == ["lo"]
    for name, kind, text in said["errors"]:
        assert (name, kind) == ("NoPermissionError", "forbidden")
        assert "CAP_NET_ADMIN" in text
        assert "CAP_SYS_ADMIN" not in text


def test_without_sys_admin() -> None:
    said = run("""
keep(NET_ADMIN)
with Controller() as ctl:
    net = ctl.create_network("bridge", "net", ipv4="10.1.0.0/24")
    single = refused(lambda: ctl.create_sandbox("box"))
    bulk = [[type(one.error).__name__, one.error.kind.value, str(one.error)] for one in net.attach(3)]
    existing = refused(lambda: ctl.create_sandbox("there", netns="/proc/self/ns/net"))
    report(errors=[single, *bulk, existing], sandboxes=len(ctl.sandboxes), endpoints=len(net.endpoints))
    net.delete()
    assert links() == ["lo"], links()
""")
    assert said["sandboxes"] == said["endpoints"] == 0
    assert len(said["errors"]) == 5
    for name, kind, text in said["errors"]:
        assert (name, kind) == ("NoPermissionError", "forbidden"), text
        assert "CAP_SYS_ADMIN" in text
        assert "CAP_NET_ADMIN" not in text


@pytest.mark.parametrize("raw", [False, True])
def test_pings_need_one_more(raw: bool) -> None:
    said = run(f"""
keep(NET_ADMIN, SYS_ADMIN, *[NET_RAW] * {raw})
from driverapi.pinger import Ping, ping
with Controller() as ctl:
    net = ctl.create_network("bridge", "net", ipv4="10.1.0.0/24", ipv6="fd01::/64")
    net.attach(2, strict=True)
    gateways = [net.gateway.packed, net.gateway_ipv6.packed]
    results = ping([Ping(one.sandbox.key, gateway) for one in net.endpoints for gateway in gateways])
    report(answered=[one.answered for one in results], errors=[one.error for one in results])
""")
    assert said["answered"] == [raw] * 4
    for text in said["errors"]:
        assert text == "" if raw else "CAP_NET_RAW" in text

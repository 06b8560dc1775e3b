"""Real signals at random moments: whatever the call was doing, nothing is left when the controller closes."""

from __future__ import annotations

import pytest

from tests.kernel.test_limits import run

SCRIPT = """
import random, signal, time
enter_private_namespaces()
random.seed({seed})
ctl = Controller()
net = ctl.create_network("bridge", "web", ipv4="10.77.0.0/24", ipv6="fd77::/64")
pools = [pool.id for pool in net._pools.values()]
free = [ctl._ipam.free(pool) for pool in pools]
macs = len(net._driver._networks[net.id].macs)

def call(number, before):
    if {what!r} == "sandbox":
        ctl.create_sandbox(f"box{{number}}")
    elif {what!r} == "attach":
        net.attach(40)
    else:
        net.detach(before)

def interrupt(*_):
    raise KeyboardInterrupt

started = time.perf_counter()
for number in range(3):
    call(number, net.attach(40) if {what!r} == "detach" else [])
usual = (time.perf_counter() - started) / 3
signal.signal(signal.SIGALRM, interrupt)
interrupted = 0
for number in range(3, 43):
    before = net.attach(40) if {what!r} == "detach" else []
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-4, usual * 0.9))
        call(number, before)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        interrupted += 1
    # whatever is left can be taken away: no name, no address, no endpoint is stuck
    try:
        net.detach(net.endpoints)
    except KeyboardInterrupt:  # another thread took the signal, and told this one late
        net.detach(net.endpoints)
    assert net.endpoints == []
    assert [ctl._ipam.free(pool) for pool in pools] == free, number
    assert len(net._driver._networks[net.id].macs) == macs, number
namespaces = ctl._instance.namespaces
ctl.close()
time.sleep(0.1)
links = [name for name in os.listdir("/proc/sys/net/ipv4/conf") if name.startswith("dv")]
mounts = [line for line in open("/proc/self/mountinfo") if "nsfs" in line]
report(interrupted=interrupted, links=links, mounts=mounts, there=namespaces.exists())
"""


@pytest.mark.parametrize("what", ["sandbox", "attach", "detach"])
def test_interrupted_at_random(what: str) -> None:
    said = run(SCRIPT.format(seed=20, what=what))
    assert said["interrupted"] > 2
    assert said["links"] == said["mounts"] == []
    assert said["there"] is False

"""asyncio on the real kernel: tasks cancelled at random points leave nothing in it, in pools or in drivers."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import IPRoute

from driverapi import aio

RUNS = 8  # of several tasks each, per seed


def links() -> set[str]:
    with IPRoute() as ip:
        return {link.get("ifname") for link in ip.get_links()}


def held(ctl: aio.Controller) -> tuple[Any, ...]:
    """All that networks, sandboxes, pools and drivers hold."""
    sync = ctl.sync
    return (
        {network.name: (list(network._endpoints), network._warm.size) for network in sync._networks.values()},
        list(sync._sandboxes),
        list(sync._lifecycle._endpoints),
        [sync._ipam.free(pool.id) for network in sync._networks.values() for pool in network._pools.values()],
        [
            (len(network.endpoints), len(network.macs))
            for type in ("bridge", "routed")
            for network in sync.registry.get(type)._networks.values()  # type: ignore[attr-defined]
        ],
    )


async def work(ctl: aio.Controller, dice: random.Random, name: str) -> None:
    """One of the things that people do, each of which cleans up after itself."""
    net = dice.choice(ctl.networks[:2])
    match dice.randrange(5):
        case 0:
            async with net.attached(dice.choice((1, 7, 70))):
                await asyncio.sleep(dice.random() * 0.02)
        case 1:
            many = await net.attach(dice.choice((1, 30, 90)), strict=dice.random() < 0.5)
            try:
                await asyncio.sleep(dice.random() * 0.01)
            finally:
                await net.detach(many)
        case 2:
            endpoint = await net.create_endpoint(name)
            try:
                box = await ctl.create_sandbox(name)
                try:
                    await endpoint.join(box)
                    await endpoint.leave(box)
                finally:
                    if endpoint.sandbox is not None:
                        await endpoint.leave(box)
                    await box.delete()
            finally:
                await endpoint.delete()
        case 3:
            await ctl.warm(net, dice.choice((0, 5, 40)))
        case _:
            await ctl.warm(net, dice.choice((3, 20)), wait=False)
            async with net.attached(dice.choice((1, 1, 30))):
                await asyncio.sleep(dice.random() * 0.01)


async def storm(ctl: aio.Controller, dice: random.Random, run: int) -> int:
    """Cancel most of some tasks, some of them several times; give how many were."""
    tasks = [asyncio.ensure_future(work(ctl, dice, f"{run}-{number}")) for number in range(dice.choice((1, 2, 4, 12)))]
    for _ in range(dice.choice((1, 1, 3))):
        await asyncio.sleep(dice.random() * dice.choice((0, 0.002, 0.03, 0.1)))
        for task in tasks:
            if dice.random() < 0.8:
                task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [end for end in ends if end is not None and not isinstance(end, asyncio.CancelledError)] == []
    return sum(isinstance(end, asyncio.CancelledError) for end in ends)


@pytest.mark.parametrize("seed", range(4))
def test_cancelled_at_random(tmp_path: Path, same_descriptors: None, seed: int) -> None:
    async def main() -> None:
        dice, cancelled = random.Random(seed), 0
        async with asyncio.timeout(120), aio.Controller(run_dir=tmp_path) as ctl:
            await ctl.create_network("bridge", "web", ipv4="10.60.0.0/20", ipv6="fd60::/64")
            await ctl.create_network("routed", "far", ipv4="10.61.0.0/20")
            empty = held(ctl)
            for run in range(RUNS):
                cancelled += await storm(ctl, dice, run)
                for net in ctl.networks:
                    await ctl.warm(net, 0)
                assert held(ctl) == empty, f"run {run}"
        assert cancelled > RUNS

    before = links()
    asyncio.run(main())
    assert links() == before
    assert [one for one in tmp_path.rglob("*") if not one.is_dir()] == []

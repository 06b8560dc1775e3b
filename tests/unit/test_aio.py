"""The verbs for asyncio, on the dataplane in memory: they do not block the loop, and a cancelled one leaves nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from driverapi import DriverRegistry, aio, errors
from driverapi.aio.worker import THREADS
from driverapi.drivers.bridge import BridgeDriver
from driverapi.ipam.default import DefaultIPAM
from driverapi.testing import FakeDataplane


class Place:
    """A controller for asyncio over the dataplane in memory, and what is left of its work."""

    def __init__(self) -> None:
        self.dataplane = FakeDataplane()
        self.ipam = DefaultIPAM()
        registry = DriverRegistry()
        registry.register("bridge", BridgeDriver())
        self.ctl = aio.Controller(dataplane=self.dataplane, ipam=self.ipam, registry=registry)

    def left(self) -> tuple[int, ...]:
        ctl = self.ctl.sync
        return (
            len(self.dataplane.endpoints),
            len(self.dataplane.sandboxes),
            len(ctl._lifecycle._endpoints),
            len(ctl._sandboxes),
            sum(one.pool.size - one.pool.free for one in self.ipam._pools.values()),
        )


def run(test: Callable[[Place], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        place = Place()
        async with asyncio.timeout(60), place.ctl:
            await test(place)
        assert place.dataplane.endpoints == {}
        assert place.dataplane.sandboxes == {}

    asyncio.run(main())


class Held:
    """Holds a method of the dataplane in the middle, in its thread, until told to go on."""

    def __init__(self, dataplane: FakeDataplane, method: str, *, after: bool = False) -> None:
        self.reached = threading.Event()
        self.go = threading.Event()
        inner = getattr(dataplane, method)

        def held(*args: Any, **kwargs: Any) -> Any:
            answer = inner(*args, **kwargs) if after else None
            self.reached.set()
            assert self.go.wait(30)
            return answer if after else inner(*args, **kwargs)

        setattr(dataplane, method, held)
        self._put_back = lambda: setattr(dataplane, method, inner)

    async def cancel_inside(self, work: Awaitable[Any], *, times: int = 1) -> None:
        task = asyncio.ensure_future(work)
        assert await asyncio.to_thread(self.reached.wait, 30)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0.01)
        assert not task.done()  # it waits until nothing is left
        self._put_back()
        self.go.set()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_all_verbs() -> None:
    async def verbs(place: Place) -> None:
        ctl = place.ctl
        web = await ctl.create_network("bridge", "web", ipv4="10.77.0.0/16", ipv6="fd77::/64")
        assert (web.name, web.type, str(web.gateway), str(web.gateway_ipv6)) == (
            "web",
            "bridge",
            "10.77.0.1",
            "fd77::1",
        )
        assert ctl.networks == [web]
        assert ctl.network("web") == web
        assert ctl.network(web.id) == web
        box = await ctl.create_sandbox("box")
        assert ctl.sandboxes == [box]
        assert ctl.sandbox("box") == box
        endpoint = await web.create_endpoint("ep", ipv4="10.77.0.9")
        assert web.endpoint("ep") == endpoint
        assert len({endpoint, web.endpoint("ep")}) == 1
        await endpoint.join(box)
        assert endpoint.sandbox == box
        assert box.endpoints == [endpoint]
        assert box.key == place.dataplane.endpoints[endpoint.id].netns.key
        assert endpoint.network == web
        assert endpoint.info()["interfaces"][0]["address"] == "10.77.0.9/16"
        assert len(endpoint.interfaces) == 1
        assert "com.docker.network.endpoint.macaddress" in await endpoint.driver_info()
        await endpoint.leave()
        assert endpoint.sandbox is None
        noticed = await web.notice_endpoint("far", ipv4="10.77.9.9")
        told: list[int] = []
        many = await web.attach(100, progress=told.append)
        assert len(many) == 100
        assert [one.error for one in many] == [None] * 100
        await asyncio.sleep(0)
        assert told[-1] == 100
        await web.detach(many)
        joined = await web.attach([box])
        assert joined[0].sandbox == box
        await web.detach(joined)
        async with web.attached(3) as three:
            assert len(three) == 3
            assert set(web.endpoints) >= set(three)
        for one in (endpoint, noticed):
            await one.delete()
        await box.delete()
        await web.delete()
        assert ctl.networks == []

    run(verbs)


def test_the_loop_goes_on_meanwhile() -> None:
    async def beside(place: Place) -> None:
        web = await place.ctl.create_network("bridge", "web", ipv4="10.77.0.0/16")
        held = Held(place.dataplane, "realise")
        attaching = asyncio.ensure_future(web.attach(1))
        turns = 0
        while not held.reached.is_set() or turns < 10:
            turns += 1
            await asyncio.sleep(0.001)
        assert not attaching.done()
        held.go.set()
        await web.detach(await attaching)

    run(beside)


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("method", ["make_sandboxes", "realise"])
def test_a_cancelled_attach_leaves_nothing(method: str, after: bool, times: int) -> None:
    async def cancelled(place: Place) -> None:
        web = await place.ctl.create_network("bridge", "web", ipv4="10.77.0.0/16")
        before = place.left()
        await Held(place.dataplane, method, after=after).cancel_inside(web.attach(5), times=times)
        assert place.left() == before

    run(cancelled)


def test_a_cancelled_strict_attach_that_fails_leaves_nothing() -> None:
    async def cancelled(place: Place) -> None:
        small = await place.ctl.create_network("bridge", "small", ipv4="10.9.0.0/29")
        before = place.left()
        await Held(place.dataplane, "realise", after=True).cancel_inside(small.attach(9, strict=True))
        assert place.left() == before

    run(cancelled)


def test_cancelled_makers_leave_nothing() -> None:
    async def cancelled(place: Place) -> None:
        ctl, dataplane = place.ctl, place.dataplane
        await Held(dataplane, "realise_network").cancel_inside(ctl.create_network("bridge", "web", ipv4="10.77.0.0/16"))
        assert ctl.networks == []
        assert dataplane.networks == {}
        await Held(dataplane, "make_sandboxes").cancel_inside(ctl.create_sandbox("box"))
        assert ctl.sandboxes == []
        web = await ctl.create_network("bridge", "web", ipv4="10.77.0.0/16")
        box = await ctl.create_sandbox("box")
        endpoint = await web.create_endpoint("ep")
        await Held(dataplane, "realise").cancel_inside(endpoint.join(box))
        assert endpoint.sandbox is None
        assert dataplane.endpoints == {}

    run(cancelled)


def test_what_takes_away_is_carried_to_its_end() -> None:
    async def cancelled(place: Place) -> None:
        web = await place.ctl.create_network("bridge", "web", ipv4="10.77.0.0/16")
        before = place.left()
        many = await web.attach(3)
        await Held(place.dataplane, "remove").cancel_inside(web.detach(many))
        assert place.left() == before

    run(cancelled)


def test_a_verb_that_has_not_begun_never_does() -> None:
    async def queued(place: Place) -> None:
        web = await place.ctl.create_network("bridge", "web", ipv4="10.77.0.0/16")
        held = Held(place.dataplane, "realise")
        busy = [asyncio.ensure_future(web.attach(1)) for _ in range(THREADS)]
        assert await asyncio.to_thread(held.reached.wait, 30)
        await asyncio.sleep(0.05)
        late = asyncio.ensure_future(web.attach(1))
        await asyncio.sleep(0.01)
        late.cancel()
        with pytest.raises(asyncio.CancelledError):
            await late  # at once: it waits for nobody
        held.go.set()
        made = [endpoint for task in busy for endpoint in await task]
        assert len(web.endpoints) == len(made) == THREADS
        await web.detach(made)

    run(queued)


def test_warm() -> None:
    async def warm(place: Place) -> None:
        web = await place.ctl.create_network("bridge", "web", ipv4="10.77.0.0/16")
        pool = await place.ctl.warm(web, 4)
        assert pool.ready == 4
        held = Held(place.dataplane, "realise")  # nothing of the kernel's is asked for
        taken = await web.attach(2)
        held.go.set()
        assert len(taken) == 2
        assert pool.wait(20)
        held = Held(place.dataplane, "realise")
        growing = asyncio.ensure_future(place.ctl.warm("web", 9))
        assert await asyncio.to_thread(held.reached.wait, 30)
        growing.cancel()
        held.go.set()
        with pytest.raises(asyncio.CancelledError):
            await growing
        assert pool.size == 4
        await place.ctl.warm("web", 0)
        assert web.endpoints == taken
        await web.detach(taken)

    run(warm)


def test_errors_come_as_they_are() -> None:
    async def errors_of(place: Place) -> None:
        web = await place.ctl.create_network("bridge", "web", ipv4="10.9.0.0/29")
        with pytest.raises(errors.NetworkExistsError):
            await place.ctl.create_network("bridge", "web", ipv4="10.8.0.0/29")
        with pytest.raises(errors.InvalidError):
            await web.attach("box")  # type: ignore[arg-type]
        with pytest.raises(errors.InvalidError):
            await web.attach(["box"])  # type: ignore[list-item]
        with pytest.raises(errors.InvalidError):
            await web.attach(-1)
        with pytest.raises(errors.BulkError) as failed:
            await web.attach(9, strict=True)
        assert all(isinstance(one, aio.Endpoint) for one in failed.value.results)
        assert [one.error is None for one in failed.value.results].count(True) == 5
        await web.detach(failed.value.results)
        with pytest.raises(errors.BulkError):
            async with web.attached(9, strict=True):
                pass
        assert web.endpoints == []

    run(errors_of)


def test_outside_of_its_time() -> None:
    async def outside() -> None:
        ctl = aio.Controller(dataplane=FakeDataplane())
        with pytest.raises(errors.ClosedError, match="async with"):
            await ctl.create_network("bridge", "web")
        await ctl.close()
        async with ctl:
            pass
        with pytest.raises(errors.ClosedError):
            await ctl.__aenter__()

    asyncio.run(outside())


def test_closed_and_closed_again() -> None:
    async def closed(place: Place) -> None:
        web = await place.ctl.create_network("bridge", "web", ipv4="10.77.0.0/16")
        await place.ctl.close()
        await place.ctl.close()
        verbs: list[Callable[[], Awaitable[Any]]] = [
            lambda: web.attach(1),
            lambda: web.detach([]),
            web.delete,
            lambda: place.ctl.create_network("bridge", "next"),
            lambda: place.ctl.create_sandbox("box"),
            lambda: place.ctl.warm(web, 1),
        ]
        for verb in verbs:
            with pytest.raises(errors.ClosedError):
                await verb()

    run(closed)


@pytest.mark.parametrize("verb", ["detach", "close"])
def test_what_takes_away_is_done_though_it_had_not_begun(verb: str) -> None:
    async def queued(place: Place) -> None:
        web = await place.ctl.create_network("bridge", "web", ipv4="10.77.0.0/16")
        many = await web.attach(3)
        held = Held(place.dataplane, "realise")
        busy = [asyncio.ensure_future(web.attach(1)) for _ in range(THREADS)]
        assert await asyncio.to_thread(held.reached.wait, 30)
        await asyncio.sleep(0.05)
        late = asyncio.ensure_future(web.detach(many) if verb == "detach" else place.ctl.close())
        await asyncio.sleep(0.01)
        late.cancel()
        await asyncio.sleep(0.01)
        assert not late.done()
        held.go.set()
        made = [endpoint for task in busy for endpoint in await task]
        with pytest.raises(asyncio.CancelledError):
            await late
        if verb == "close":
            assert place.dataplane.endpoints == {}
        else:
            assert len(web.endpoints) == len(made) == THREADS

    run(queued)


@pytest.mark.parametrize("ready", [0, 4])
def test_a_report_that_raises(ready: int) -> None:
    def refuse(done: int) -> None:
        raise ZeroDivisionError(done)

    async def reported(place: Place) -> None:
        web = await place.ctl.create_network("bridge", "web", ipv4="10.77.0.0/24")
        if ready:
            await place.ctl.warm(web, ready)
        for progress, kind in ((5, errors.InvalidError), (refuse, ZeroDivisionError)):
            with pytest.raises(kind):
                await web.attach(2, progress=progress)  # type: ignore[arg-type]
            with pytest.raises(kind):
                await web.attach(300, strict=True, progress=progress)  # type: ignore[arg-type]
            assert web.endpoints == []
        many = await web.attach(2)
        with pytest.raises(ZeroDivisionError):
            await web.detach(many, progress=refuse)
        assert web.endpoints == []
        with pytest.raises(errors.InvalidError):
            await web.detach(None)  # type: ignore[arg-type]

    run(reported)


def test_a_forked_child_is_refused() -> None:
    """In the child no thread would ever carry a verb out."""

    async def forked(place: Place) -> None:
        web = await place.ctl.create_network("bridge", "web", ipv4="10.77.0.0/24")
        place.ctl._worker._pid += 1  # as in a child
        with pytest.raises(errors.ForkedError):
            await web.delete()
        await place.ctl.close()  # does nothing
        place.ctl._worker._pid -= 1
        assert place.dataplane.networks

    run(forked)


def test_a_cancelled_attach_does_not_go_on_to_its_end() -> None:
    async def abandoned(place: Place) -> None:
        web = await place.ctl.create_network("bridge", "web", ipv4="10.77.0.0/16")
        undone: list[int] = []
        detach = web.sync.detach
        web.sync.detach = lambda made: (undone.append(len(made)), detach(made))  # type: ignore[method-assign]
        await Held(place.dataplane, "realise").cancel_inside(web.attach(3))
        assert undone == [], "all was made first, and then taken away"
        assert web.endpoints == []

    run(abandoned)


def test_a_sandbox_has_files() -> None:
    async def main() -> None:
        async with aio.Controller(dataplane=FakeDataplane()) as ctl:
            box = await ctl.create_sandbox("box", services=True)
            assert box.hosts_path == box.sync.hosts_path
            assert box.resolv_conf_path == box.sync.resolv_conf_path
            assert box.sync._files is not None
            writes = box.sync._files.writes
            await box.refresh()
            assert box.sync._files.writes == writes  # all is as it should be

    asyncio.run(main())


def test_ports() -> None:
    async def test(place: Place) -> None:
        net = await place.ctl.create_network("bridge", "web", ipv4="10.77.0.0/16")
        one = await net.create_endpoint("one", publish="8080:80")
        (other,) = await net.attach(1, publish="8081:80")
        await one.publish("8082:80")
        made = await net.publish([(one, "8083:80"), (other, "8084:80")])
        assert [port.host_port for port in made] == [8083, 8084]
        assert [port.host_port for port in one.ports] == [8080, 8082, 8083]
        await net.unpublish([(one, "8083:80"), (other, "8084:80")])
        before = dict(place.dataplane.ports)
        for work in (one.publish("9000:80"), net.publish([(one, "9000:80"), (other, "9001:80")])):
            await Held(place.dataplane, "publish", after=True).cancel_inside(work)
            assert place.dataplane.ports == before
        await one.unpublish()
        assert [port.host_port for port in other.ports] == [8081]
        await one.delete()
        await net.detach([other])
        assert place.dataplane.ports == {}

    run(test)

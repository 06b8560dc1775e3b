"""The dataplane of the Linux kernel: sandboxes, networks, and endpoints in chunks.

``networks`` makes what a whole network needs, ``bringup`` a chunk of endpoints, ``teardown`` takes
one away, ``sandboxes`` makes the namespaces beside them; ``kernel`` is what they share.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final, final

from driverapi import errors
from driverapi._native import LinkRecord, NetlinkError, NetlinkSocket
from driverapi.addresses import Address
from driverapi.counters import InterfaceStatistics
from driverapi.dataplane.adoption import LinuxSurvey, held, kept
from driverapi.dataplane.bringup import BringUp
from driverapi.dataplane.contract import CHUNK, PAUSE, Progress, Work
from driverapi.dataplane.counting import count
from driverapi.dataplane.failures import failure
from driverapi.dataplane.kernel import Kernel, LinuxRealised
from driverapi.dataplane.kernel import link as find_link
from driverapi.dataplane.networks import Networks
from driverapi.dataplane.sandboxes import LinuxNetns, Sandboxes
from driverapi.dataplane.teardown import take_away
from driverapi.instance import LINK_MARK, Instance
from driverapi.plan import NetworkPlan, PortMap, PortWish
from driverapi.streams.hub import HostLink

if TYPE_CHECKING:
    from driverapi.dataplane.monitor import LinuxMonitor
    from driverapi.streams.hub import Hub

__all__ = ["LinuxDataplane", "ids_in_use"]

_LOCAL: Final = (4, 16)  # lengths of the addresses that a route of interest has
_PART_OF_ALL: Final = 3  # bits of the longest prefix that is a part of a default route, and no place


def ids_in_use() -> set[str]:
    """Return the instance ids that links of this network namespace carry: also those of the dead."""
    with NetlinkSocket() as socket:
        names = [link.name for link in socket.dump_links()]
    return {name[len(LINK_MARK) :][:4] for name in names if name.startswith(LINK_MARK)}


@final
class LinuxDataplane:
    """Realises plans in the namespace of the thread that makes it, and in those of sandboxes.

    Thread safety: all methods.
    """

    def __init__(self, instance: Instance, *, hold_ports: bool = True) -> None:
        self._kernel = Kernel(instance, hold_ports=hold_ports)
        self._networks = Networks(self._kernel)
        self._sandboxes = Sandboxes(instance)
        # A chunk holds its namespaces open, and the next ones are made meanwhile.
        self._chunk = min(CHUNK, self._sandboxes.keep // 2)
        self._given_up_at = 0.0  # when many namespaces were

    def close(self, keep: Collection[str] = ()) -> None:
        """Let go of descriptors; what was realised stays, but namespaces that nobody knows of."""
        self._sandboxes.discard(keep=keep)
        self._networks.host_forwarding.close()
        self._kernel.close()

    # --- after a restart --------------------------------------------------------------------------

    def kept(self, realised: LinuxRealised) -> object:
        """Return what is needed to know an endpoint's links again."""
        return kept(realised)

    def kept_network(self, network: str) -> object:
        """Return what is needed to know a network's links again."""
        return self._networks.kept(network)

    def survey(self) -> LinuxSurvey:
        """Look at what an earlier process of this instance made."""
        return LinuxSurvey(self._kernel, self._networks, self._sandboxes)

    # --- events -------------------------------------------------------------------------------------

    def listen(self, hub: Hub) -> LinuxMonitor:
        """Tell a hub what happens to links, until what is returned is closed."""
        from driverapi.dataplane.monitor import LinuxMonitor  # imported late: few need it

        return LinuxMonitor(self._kernel, hub)

    def host_links(self, realised: LinuxRealised) -> list[HostLink]:
        """Return an endpoint's ends on the host."""
        return [
            HostLink(one.host_index, one.host_name, one.bridge, one.master)
            for one in realised.interfaces
            if one.host_index
        ]

    # --- sandboxes ------------------------------------------------------------------------------

    def make_sandboxes(self, ids: Sequence[str]) -> list[LinuxNetns]:
        """Begin to make a namespace per id, beside everything else."""
        return self._sandboxes.make(ids)

    def wait_sandboxes(self, netns: Sequence[LinuxNetns]) -> list[Exception | None]:
        """Wait until they are made."""
        answers = self._sandboxes.wait(netns)
        for one in netns:
            one.rest(used=False)
        return answers

    def open_sandbox(self, path: str) -> LinuxNetns:
        """Take an existing namespace, known by its path."""
        return self._sandboxes.existing(path)

    def host_sandbox(self) -> LinuxNetns:
        """Return the host's own namespace."""
        return self._sandboxes.host()

    def foreign_sandbox(self, key: str) -> LinuxNetns:
        """Take a namespace that is never opened: whoever has it moves the links in."""
        return self._sandboxes.foreign(key)

    def held(self, realised: Sequence[LinuxRealised]) -> list[bool]:
        """Tell of each whether a sandbox has its links: a pair goes with the namespace that one end is in."""
        return held(self._kernel, realised)

    def discard_sandboxes(self, ids: Sequence[str]) -> None:
        """Drop whatever there is of sandboxes whose making was interrupted."""
        self._sandboxes.discard(ids)

    def drop_sandboxes(self, netns: Sequence[LinuxNetns]) -> list[Exception | None]:
        """Unbind those that are owned."""
        answers = self._sandboxes.drop(netns)
        if len(netns) > 1:
            self._given_up_at = time.monotonic()
        return answers

    # --- networks -------------------------------------------------------------------------------

    def realise_network(self, network: str, plan: NetworkPlan) -> None:
        """Make the network's links with their addresses, all or nothing."""
        if plan.rules is not None:  # of one that is made anew after a restart, they may come later
            check = self._kernel.firewall.ports.check_own
            check(f"{plan.title(network)}: its traffic is to leave under", plan.rules.source)
            check(f"{plan.title(network)}: its ports are to be published at", plan.rules.binding)
        self._networks.realise(network, plan)

    def remove_network(self, network: str) -> None:
        """Delete the network's links."""
        self._networks.remove(network)

    def _named(self, name: str) -> LinkRecord | None:
        try:
            return find_link(self._kernel.host, name=name) if name else None
        except ValueError:  # no link can have that name
            return None

    def host_prefixes(self, but: str = "") -> list[Address]:
        """Return the prefixes that the host has routes to; the default routes, and those by one link, left out.

        A default route may come in parts that are more specific than another's: 0.0.0.0/1 and 128.0.0.0/1 of a VPN,
        2000::/3 (RFC 4291, 2.4).
        """
        try:
            found = self._kernel.host.dump_routes()
            beside = self._named(but)
        except NetlinkError as error:
            raise failure("read the host's routes", error) from error
        return [
            Address(route.destination, route.prefix)
            for route in found
            if route.prefix > _PART_OF_ALL
            if len(route.destination) in _LOCAL
            if beside is None or route.index != beside.index
        ]

    # --- published ports ------------------------------------------------------------------------

    def publish(self, wanted: Sequence[tuple[str, Sequence[PortWish]]]) -> list[list[PortMap] | Exception]:
        """Publish ports of endpoints: one transaction, besides what a network needs for its first."""
        refused: dict[str, Exception] = {}
        for network in dict.fromkeys(network for network, _ in wanted):
            try:
                self._networks.open(network)
            except errors.DriverAPIError as error:
                refused[network] = error
        published = self._kernel.firewall.publish([wishes for network, wishes in wanted if network not in refused])
        self._kernel.conntrack.forget_before([one for some in published if isinstance(some, list) for one in some])
        answers = iter(published)
        return [refused[network] if network in refused else next(answers) for network, _ in wanted]

    def unpublish(self, ports: Sequence[PortMap]) -> None:
        """Take published ports away."""
        self._kernel.firewall.unpublish(ports)
        self._kernel.conntrack.forget_ports([one for one in ports if one.host != one.ip])

    # --- endpoints ------------------------------------------------------------------------------

    def realise(self, works: Sequence[Work], progress: Progress | None = None) -> list[LinuxRealised | Exception]:
        """Bring endpoints up in chunks; an interrupt takes away what this call made."""
        done: list[LinuxRealised | Exception] = []
        try:
            for at in range(0, len(works), self._chunk):
                end = at + self._chunk
                done += BringUp(self._kernel).run(works[at:end], last=end >= len(works))
                if progress is not None:
                    progress(len(done))
        except BaseException:
            self.remove([one for one in done if isinstance(one, LinuxRealised)])
            raise
        return done

    def counters(
        self, realised: Sequence[LinuxRealised], *, inside: bool
    ) -> list[dict[int, InterfaceStatistics] | Exception]:
        """Return what went through the interfaces of endpoints."""
        return count(self._kernel, realised, inside=inside)

    def remove(self, realised: Sequence[LinuxRealised], progress: Progress | None = None) -> list[Exception | None]:
        """Take endpoints away in chunks, by group where that can be."""
        answers: list[Exception | None] = []
        try:
            if len(realised) > 1:
                time.sleep(max(0.0, self._given_up_at + PAUSE - time.monotonic()))
            for at in range(0, len(realised), CHUNK):
                chunk = realised[at : at + CHUNK]
                for job in chunk:
                    job.error = None
                take_away(self._kernel, chunk)
                answers += [job.error for job in chunk]
                if progress is not None:
                    progress(len(answers))
        finally:
            gone = [job for job, refused in zip(realised, answers, strict=False) if refused is None]
            self._kernel.conntrack.forget([address.ip for job in gone for address in job.addresses])
        return answers

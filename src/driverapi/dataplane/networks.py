"""What a whole network has on the host: its bridge, the link with the gateway of a routed one, or a parent."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, final

from driverapi import errors
from driverapi._native import Batch
from driverapi.dataplane.borrowed import borrow, borrow_again, give_back
from driverapi.dataplane.failures import failure, first_failure, unwritten
from driverapi.dataplane.forwarding import SWITCHES
from driverapi.dataplane.groups import COMMON
from driverapi.dataplane.ipforward import HostForwarding
from driverapi.dataplane.kernel import ADDR_GEN_NONE, GONE, TRIES, Kernel
from driverapi.dataplane.kernel import link as find_link
from driverapi.dataplane.parents import Parents
from driverapi.dataplane.routed import dress_gateway, strip_gateway
from driverapi.dataplane.star import Star
from driverapi.events import emit, of_fault
from driverapi.instance import LINK_MARK
from driverapi.plan import BridgeLink, GatewayLink, NetworkPlan, ParentLink

__all__ = ["Networks"]


@final
class Networks:
    """Makes and removes what networks have on the host.

    Thread safety: all methods, for different networks.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._parents = Parents(kernel)
        self._names: dict[int, str] = {}  # of links in the kernel, by their indexes
        self._macs: dict[str, list[bytes]] = {}  # of a network's bridges
        self._called: dict[str, str] = {}  # networks with rules, by their users
        self._borrowing = threading.Lock()
        self.host_forwarding = HostForwarding(kernel.instance.directory.parent, kernel.forwarding, kernel.host)

    def realise(self, network: str, plan: NetworkPlan) -> None:
        """Make the links of a plan with their addresses, all or nothing."""
        self._kernel.titles[network] = plan.title(network)
        try:
            for link in plan.links:
                if isinstance(link, GatewayLink):
                    self._make_gateway(network, link)
                elif isinstance(link, ParentLink):
                    self._make_parent(network, link)
                else:
                    self._make_bridge(network, link)
            self.keep_rules(network, plan)
        except BaseException:
            self.remove(network)
            raise

    def keep_rules(self, network: str, plan: NetworkPlan) -> None:
        """Know the rules of a network whose links are there, and make those that it needs now."""
        self._kernel.titles[network] = plan.title(network)
        if plan.rules is not None:
            self._macs[network] = [link.mac for link in plan.links if isinstance(link, BridgeLink)]
            self._kernel.rules[network] = plan.rules
            self._called[network] = plan.name
            if plan.rules.forwards:
                self.host_forwarding.want(network)
            if plan.rules.wanted:
                self.open(network)

    def open(self, network: str) -> None:
        """Have rules for a network, and its links forward: what it needs before the first port is published.

        Raises
        ------
        errors.KernelUnsupportedError, errors.KernelError
            The kernel cannot, or refused; nothing was made.
        """
        kernel = self._kernel
        rules = kernel.rules.get(network)
        if rules is None:
            raise errors.NotImplementedYetError(
                f"{kernel.what(network)}: its driver says nothing of rules, so no port of it can be published"
            )
        if kernel.firewall.has_network(network):
            return
        what = kernel.what(network)
        links = [index for (owner, _), index in list(kernel.masters.items()) if owner == network]
        ipv6 = any(prefix.version == 6 for prefix in rules.prefixes)
        if ipv6 and not rules.internal:
            kernel.forwarding.check(what)
        kernel.firewall.add_network(network, what, rules, links, self._macs_of(network))
        if rules.internal:
            return
        try:
            batch = Batch()
            for index in links:
                # What leaves by it from 127.0.0.0/8, and comes in for it, is dropped by rules of the table.
                batch.set_link_ipv4(index, forwarding=1, route_localnet=1)
            refused = first_failure(what, kernel.host, batch) if links else None
            if refused is not None:
                raise refused
            if ipv6 and not kernel.forwarding.for_all():
                for index in links:
                    self._forward(what, self._names[index])
            self._look_elsewhere(network, {prefix.version for prefix in rules.prefixes})
        except BaseException:
            kernel.firewall.remove_network(network)
            raise

    def _forward(self, what: str, device: str) -> None:
        """Have IPv6 forwarded that comes in by a link of ours."""
        try:
            self._kernel.forwarding.switch_on(device)
        except OSError as error:  # in a container, say, where /proc/sys is not to be written
            advice = f"where that is not for us to write, set {SWITCHES[6]}=1 yourself"
            raise unwritten(f"{what}: net.ipv6.conf.{device}.force_forwarding", error, advice) from error

    def _look_elsewhere(self, network: str, versions: Iterable[int]) -> None:
        """Warn where the host forwards nothing that comes in from elsewhere: to switch it on is not for us."""
        own = frozenset(self._names.copy().values())
        for version in sorted(versions):
            if not self._kernel.forwarding.from_elsewhere(
                version, lambda name: name in own or name.startswith(LINK_MARK)
            ):
                emit(
                    "network.not_forwarded",
                    network=network,
                    network_name=self._called.get(network, ""),
                    option=SWITCHES[version],
                )

    def _macs_of(self, network: str) -> list[bytes]:
        """Return the MAC addresses that the host has on a network's bridges."""
        kernel = self._kernel
        lent = [index for (owner, _), index in list(kernel.masters.items()) if owner == network]
        if not any(owner == network for owner, _ in list(kernel.borrowed)):
            return self._macs.get(network, [])
        found = [find_link(kernel.host, index=index) for index in lent]
        return [link.mac for link in found if link is not None]

    def adopt(
        self,
        network: str,
        link: BridgeLink | GatewayLink | ParentLink,
        index: int,
        name: str,
        added: Sequence[Any],
        *,
        ours: bool,
    ) -> None:
        """Take a link that an earlier process had, and put right what somebody may have changed of it if it is ours.

        Parameters
        ----------
        added : sequence
            What :meth:`kept` has of a bridge that is somebody else's, beyond the rest.
        """
        kernel = self._kernel
        batch = Batch()
        if added and isinstance(link, BridgeLink):
            borrow_again(kernel, (network, link.name), link, index, added[0])
            self._names[index] = name
            return
        if isinstance(link, ParentLink):
            if link.source is not None:
                self._parents.adopt((network, link.name), index, link.kind, ours=ours)
            if ours:
                batch.set_link(index, up=True)
        elif isinstance(link, GatewayLink):
            kernel.gateways[network, link.name] = link
            dress_gateway(batch, kernel, index, link)
        else:
            kernel.stars[network, link.name] = Star(kernel, kernel.what(network), index, link.mtu)
            for address in link.addresses:
                batch.add_address(index, address.ip, address.prefix)
            batch.set_link(index, up=True)
        kernel.masters[network, link.name] = index
        self._names[index] = name
        if not len(batch):
            return
        refused = first_failure(kernel.what(network), kernel.host, batch, (errno.EEXIST,))
        if refused is not None:
            raise refused

    def kept(self, network: str) -> dict[str, object]:
        """Return what is needed to know a network's links again, by their names in the plan.

        Index, name, further bridges; of a bridge that is somebody else's, the addresses that it was given.
        """
        kernel = self._kernel
        found: dict[str, object] = {}
        for (owner, name), index in list(kernel.masters.items()):
            if owner == network:
                star = kernel.stars.get((owner, name))
                added = [kernel.borrowed[owner, name]] if (owner, name) in kernel.borrowed else []
                found[name] = (index, self._names.get(index, name), None if star is None else star.kept(), *added)
        return found

    def _make_bridge(self, network: str, link: BridgeLink) -> None:
        if link.exact:
            with self._borrowing:
                if borrow(self._kernel, (network, link.name), link):
                    self._names[self._kernel.masters[network, link.name]] = link.name
                    return
        index = self._make_link(network, link, "b")
        batch = Batch()
        # With snooping the kernel goes over the multicast timers of all ports whenever one port comes up or goes
        # (br_port_state_selection). Nothing is lost: without a querier a bridge that snoops floods all the same.
        batch.set_bridge(index, mcast_snooping=False)
        batch.set_link(index, addr_gen_mode=ADDR_GEN_NONE)
        for address in link.addresses:
            batch.add_address(index, address.ip, address.prefix)
        batch.set_link(index, up=True)
        self._carry_out(network, batch)
        self._kernel.stars[network, link.name] = Star(self._kernel, self._kernel.what(network), index, link.mtu)

    def _make_gateway(self, network: str, link: GatewayLink) -> None:
        # A bridge without ports: every kernel that has bridges at all has it, others may lack dummy links.
        if link.forward and any(address.version == 6 for address in link.addresses):
            self._kernel.forwarding.check(self._kernel.what(network))
        index = self._make_link(network, link, "g")
        self._kernel.gateways[network, link.name] = link
        batch = Batch()
        dress_gateway(batch, self._kernel, index, link)
        self._carry_out(network, batch)

    def _make_parent(self, network: str, link: ParentLink) -> None:
        if link.source is not None:
            index, name = self._parents.take((network, link.name), link)
            self._names[index] = name
            return
        self._parents.check_kind(self._kernel.what(network), link.kind)
        # Frames for nobody on it go nowhere. A bridge would not do: without ports it has no carrier, so the links on
        # it have none either, and nothing passes. A pair would: its other end hands frames to the host's own stack.
        try:
            index = self._make_link(network, link, "p", "dummy")
        except errors.KernelUnsupportedError:
            index = self._make_link(network, link, "p", "ifb")  # which drops what no filter has redirected
        batch = Batch()
        batch.set_link(index, addr_gen_mode=ADDR_GEN_NONE)
        batch.set_link(index, up=True)
        self._carry_out(network, batch)

    def _carry_out(self, network: str, batch: Batch) -> None:
        refused = first_failure(self._kernel.what(network), self._kernel.host, batch)
        if refused is not None:
            raise refused

    def _make_link(
        self, network: str, link: BridgeLink | GatewayLink | ParentLink, letter: str, kind: str = "bridge"
    ) -> int:
        """Make a link, down and bare; return its ifindex."""
        kernel = self._kernel
        exact = isinstance(link, BridgeLink) and link.exact
        mtu = 0 if isinstance(link, GatewayLink) else link.mtu
        again = (errno.EBUSY, errno.ENOBUFS) if exact else (errno.EBUSY, errno.ENOBUFS, errno.EEXIST)
        batch = Batch()
        for attempt in range(TRIES):
            name = link.name if exact else kernel.instance.link_name(letter)
            index = kernel.instance.link_index()
            batch.clear()
            add: Callable[..., int] = getattr(batch, f"add_{kind}")
            add(name, index=index, mac=link.mac, mtu=mtu, group=kernel.groups.value(COMMON))
            kernel.masters[network, link.name] = index  # before it is asked for: an interrupt must find it
            self._names[index] = name
            error = kernel.host.execute(batch).error(0)
            if error is None or (error.errno == errno.ENOBUFS and self._is_there(index, name)):
                break
            del kernel.masters[network, link.name]
            self._names.pop(index, None)
            if error.errno not in again or attempt == TRIES - 1:
                raise failure(kernel.what(network), error)
        return index

    def _is_there(self, index: int, name: str) -> bool:
        """Look up a link whose answer was lost: by our index, which must have our name."""
        found = find_link(self._kernel.host, index=index)
        return found is not None and found.name == name

    def remove(self, network: str) -> None:
        """Delete the rules and the links of a network; what is gone already is passed over."""
        kernel = self._kernel
        kernel.firewall.remove_network(network)
        self._macs.pop(network, None)
        kernel.rules.pop(network, None)
        for key in [key for key in list(kernel.masters) if key[0] == network and self._parents.has(key)]:
            self._parents.leave(key)
        for key in [key for key in list(kernel.borrowed) if key[0] == network]:
            give_back(kernel, key)
        keys = [key for key in list(kernel.masters) if key[0] == network]
        for key in keys:
            if key in kernel.stars:
                kernel.stars[key].remove()
        batch = Batch()
        for key in keys:
            if key in kernel.gateways:
                strip_gateway(batch, kernel, kernel.gateways[key])
            batch.delete_link(kernel.masters[key])
        if keys:
            refused = first_failure(kernel.what(network), kernel.host, batch, GONE)
            if refused is not None:
                raise refused
        for key in keys:
            self._names.pop(kernel.masters.pop(key), None)
            kernel.gateways.pop(key, None)
            kernel.stars.pop(key, None)
        kernel.titles.pop(network, None)
        self._called.pop(network, None)
        self.put_back(network)

    def put_back(self, network: str = "") -> None:
        """Have the host forward as before, once no network that is left wants it to; a failure is logged."""
        try:
            self.host_forwarding.unwant(network)
        except errors.KernelError as error:  # the network is gone all the same, and the next that goes tries again
            emit("undo.failed", **of_fault(error))

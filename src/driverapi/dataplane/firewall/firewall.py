"""What the dataplane asks of the packet filter: networks and published ports, each call one transaction."""

from __future__ import annotations

import contextlib
import errno
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Final, final

from driverapi import errors
from driverapi._native import NftBatch
from driverapi.dataplane.firewall.contents import (
    Change,
    Contents,
    Element,
    index_key,
    mac_key,
    name_key,
    port_elements,
    prefix_key,
)
from driverapi.dataplane.firewall.hostports import HostPorts
from driverapi.dataplane.firewall.ruleset import FAMILIES, make_tables, table_name
from driverapi.dataplane.firewall.talk import RefusedError, Talk
from driverapi.plan import PROTOCOLS, EndpointPlan, NetworkRules, PairLink, PortMap, PortWish

__all__ = ["Firewall", "Member", "check_bridged"]

Member = tuple[NetworkRules, EndpointPlan, int, bytes, Sequence[bytes]]
"""Rules of its network, its plan, ifindex of its port, its MAC address, its addresses: packed."""

_NF_PROTO: Final = {4: 2, 6: 10}  # NFPROTO_IPV4, NFPROTO_IPV6

_MEANING: Final = {
    errno.EEXIST: "something of it is there already: two networks whose prefixes overlap cannot both have rules",
    errno.ENOTEMPTY: "two networks whose prefixes overlap cannot both have rules",
    errno.EPERM: "this needs CAP_NET_ADMIN: run as root, or inside a user namespace",
}


@final
class Firewall:
    """The table of one instance, in the network namespace of the thread that makes it.

    Nothing is made before it is needed. A table that somebody else has deleted meanwhile is made again, whole, by the
    next change.

    Thread safety: all methods.
    """

    def __init__(self, instance: str, *, hold: bool = True) -> None:
        self._instance = instance
        self._lock = threading.RLock()
        self._talk: Talk | None = None
        self._contents = Contents()
        self._networks: dict[str, list[Element]] = {}  # what is there for each
        self._ports: dict[int, list[Element]] = {}  # and for each port of a bridge, by its ifindex
        self._addresses: dict[int, frozenset[bytes]] = {}
        self._pairs: dict[Element, PairLink] = {}
        self._made: set[str] = set()  # families of the tables that are there
        self._waiting = False  # between survey and settle: nothing is sent
        self.ports = HostPorts(hold=hold)

    def close(self) -> None:
        """Let go of descriptors and ports; a table with nothing in it goes."""
        with self._lock:
            try:
                if self._talk is not None and not self._contents and not self._waiting:
                    with contextlib.suppress(errors.KernelError):  # it goes with the namespace, or doctor finds it
                        self.delete()
            finally:
                self.ports.close()
                if self._talk is not None:
                    self._talk.close()
                    self._talk = None

    # --- networks -------------------------------------------------------------------------------

    def add_network(
        self, network: str, what: str, rules: NetworkRules, links: Sequence[int], macs: Sequence[bytes] = ()
    ) -> None:
        """Have rules for a network, of those links, which have those MAC addresses; errors call it ``what``."""
        check_bridged(what, rules)
        with self._lock:
            elements = [(f"ours{prefix.version}", prefix_key(prefix), b"") for prefix in rules.prefixes]
            elements += [("links", index_key(index), b"") for index in links]
            for index in links:
                # Who is on a shut network may not reach another of it by the gateway either.
                if not rules.shut:
                    elements.append(("same", index_key(index, index), b""))
                elements += [("trusted", name_key(name) + index_key(index), b"") for name in rules.trusted]
                if rules.internal:
                    elements.append(("internal", index_key(index), b""))
                for name, versions in (("protected", rules.protected), ("pinged", rules.pinged)):
                    elements += [(name, index_key(index, _NF_PROTO[version]), b"") for version in versions]
            if rules.shut:
                elements += [("gates", mac, b"") for mac in macs]
            sources = {len(ip): ip for ip in rules.source}
            for prefix in rules.prefixes:
                if prefix.version not in rules.masquerade:
                    continue
                ip = sources.get(len(prefix.ip))
                name = "masquerade" if ip is None else "source"
                elements.append((f"{name}{prefix.version}", prefix_key(prefix), ip or b""))
            known = self._networks.get(network, [])
            new = [one for one in elements if one not in known]
            self._networks[network] = elements  # before it is asked for: an interrupt must find it
            try:
                self._commit(what, Change((), new))
            except Exception:
                if known:
                    self._networks[network] = known
                else:
                    del self._networks[network]
                raise

    def has_network(self, network: str) -> bool:
        """Tell whether there are rules for a network."""
        return network in self._networks

    def remove_network(self, network: str) -> None:
        """Take the rules of a network away; it may have none."""
        with self._lock:
            known = [one for one in self._networks.get(network, ()) if self._contents.has(one)]
            self._commit(f"network {network[:12]}", Change(known))
            self._networks.pop(network, None)

    # --- ports of bridges -----------------------------------------------------------------------

    def enter(self, members: Iterable[Member]) -> None:
        """Have rules for endpoints of networks that need some for each: before they can send."""
        with self._lock:
            new: list[Element] = []
            for rules, plan, port, mac, addresses in members:
                self._ports[port] = elements = _of_port(rules, port, mac, addresses)
                self._addresses[port] = frozenset(addresses)
                new += elements
                for link in plan.pairs:
                    self._pairs[_of_pair(link)] = link
                    new.append(_of_pair(link))
            self._commit("endpoints", Change((), new))

    def leave(self, ports: Iterable[int]) -> None:
        """Take the rules of endpoints away, by the ifindexes of their ports; there may be none."""
        with self._lock:
            known = [port for port in ports if port in self._ports]
            away = {ip for port in known for ip in self._addresses[port]}
            parted = [one for one, link in self._pairs.items() if link.source in away or link.target in away]
            gone = [*(one for port in known for one in self._ports[port]), *parted]
            self._commit("endpoints", Change(one for one in gone if self._contents.has(one)))
            for port in known:
                del self._ports[port], self._addresses[port]
            for one in parted:  # who has the address next is nobody's link
                del self._pairs[one]

    # --- ports ----------------------------------------------------------------------------------

    def publish(self, wishes: Sequence[Sequence[PortWish]]) -> list[list[PortMap] | Exception]:
        """Publish ports: for each sequence what it got, or why none of it is published."""
        answers: list[list[PortMap] | Exception] = []
        try:
            answers = self.ports.take_each(wishes)
            taken = [one for answer in answers if isinstance(answer, list) for one in answer]
            try:
                with self._lock:
                    self._commit("published ports", Change((), port_elements(taken)))
            except errors.DriverAPIError as error:
                self.ports.release(taken)
                return [error if isinstance(answer, list) else answer for answer in answers]
        except BaseException:
            self.unpublish([one for answer in answers if isinstance(answer, list) for one in answer])
            raise
        return answers

    def publish_again(self, ports: Sequence[PortMap]) -> dict[PortMap, Exception]:
        """Publish ports as they were before; return those that cannot be, and why.

        One at an address that the host does not have yet is published: it was, and the address may come.
        """
        wishes = [
            PortWish(one.protocol, ((one.host, one.ip),), one.port, one.host_port, one.host_port) for one in ports
        ]
        if not isinstance(self.publish([wishes])[0], Exception):
            return {}
        answers = self.publish([[wish] for wish in wishes])  # one by one: who is in the way of one is not of all
        refused = {port: answer for port, answer in zip(ports, answers, strict=True) if isinstance(answer, Exception)}
        for port in [port for port, answer in refused.items() if isinstance(answer, errors.InvalidError)]:
            try:
                self._expect(port)
            except errors.DriverAPIError as error:
                refused[port] = error
            else:
                del refused[port]
        return refused

    def _expect(self, port: PortMap) -> None:
        self.ports.expect(port)
        try:
            with self._lock:
                self._commit("published ports", Change((), port_elements([port])))
        except BaseException:
            self.ports.release([port])
            raise

    def unpublish(self, ports: Iterable[PortMap]) -> None:
        """Take published ports away; those that are not published are passed over."""
        ports = list(ports)
        with self._lock:
            self._commit("published ports", Change(self._contents.known(port_elements(ports))))
        self.ports.release(ports)

    # --- after a restart ------------------------------------------------------------------------

    def hold_back(self) -> None:
        """Send nothing until :meth:`settle`."""
        self._waiting = True

    def settle(self) -> None:
        """Have the table be what was asked for since :meth:`hold_back`, whatever an earlier process left of it."""
        with self._lock:
            self._waiting = False
            if self._contents:
                self._send("the packet filter", self._contents.whole)
            self.delete(FAMILIES.keys() - self._contents.families)

    def delete(self, families: Collection[str] = tuple(FAMILIES)) -> None:
        """Delete the tables of those families that there are."""
        for family in families:
            batch = NftBatch(table_name(self._instance), FAMILIES[family])
            batch.delete_table()
            try:
                self._socket().commit(batch)
            except RefusedError as refused:
                if refused.errno not in (errno.ENOENT, errno.EOPNOTSUPP, errno.EINVAL):  # a kernel without nf_tables
                    raise self._failure("the packet filter", refused) from refused
            except OSError as error:
                if error.errno != errno.EPROTONOSUPPORT:
                    raise errors.KernelError(f"the packet filter: {error.strerror}", error.errno or 0) from error
            self._made.discard(family)

    # --- inside ---------------------------------------------------------------------------------

    def _commit(self, what: str, change: Change) -> None:
        """Make a change, or raise and make none of it."""
        if not change:
            return
        if not self._waiting:
            self._send(what, change.encode, change)
        self._contents.apply(change)

    def _send(self, what: str, encode: Callable[[NftBatch], object], change: Change | None = None) -> None:
        batch = NftBatch(table_name(self._instance))
        encode(batch)
        try:
            talk = self._socket()
            try:
                if change is not None and not change.families <= self._made:
                    raise RefusedError(errno.ENOENT, -1)  # if there is one, it is of a dead instance that had our id
                talk.commit(batch)
            except RefusedError as refused:
                if refused.errno != errno.ENOENT:
                    raise
                # There is no table yet, or somebody has deleted it, or it is of another version.
                whole = Contents()
                whole.take(self._contents)
                if change is not None:
                    whole.apply(change)
                self.ports.check_place()
                missing = whole.families - self._made
                batch.clear()
                whole.whole(batch)
                try:
                    make_tables(self._instance, sorted(missing or whole.families))
                    talk.commit(batch)
                except RefusedError as again:
                    if again.errno != errno.ENOENT or not missing:
                        raise
                    make_tables(self._instance, sorted(whole.families))  # the others have been deleted, too
                    talk.commit(batch)
            self._made |= self._contents.families if change is None else change.families
        except RefusedError as refused:
            raise self._failure(what, refused) from refused
        except errors.DriverAPIError:
            raise
        except OSError as error:
            raise errors.KernelUnsupportedError(
                f"{what}: this kernel has no nf_tables ({error.strerror}); published ports, masquerading and isolation "
                "cannot be had",
                error.errno or 0,
            ) from error

    def _socket(self) -> Talk:
        if self._talk is None:
            self.ports.check_place()
            self._talk = Talk()
        return self._talk

    @staticmethod
    def _failure(what: str, refused: RefusedError) -> errors.KernelError:
        number = refused.errno or 0
        advice = _MEANING.get(number, "")
        kind = errors.KernelError
        if number in (errno.EEXIST, errno.ENOTEMPTY):
            kind = errors.KernelConflictError
        elif number == errno.EPERM:
            kind = errors.NoPermissionError
        elif number in (errno.EOPNOTSUPP, errno.EPROTONOSUPPORT):
            kind = errors.KernelUnsupportedError
        return kind(
            f"{what}: change packet filter rules: {refused.strerror}" + (f"; {advice}" if advice else ""), number
        )


def check_bridged(what: str, rules: NetworkRules) -> None:
    """See that bridged packets do not come by rules that are not for them.

    Raises
    ------
    errors.KernelUnsupportedError
        They do, and what was asked for would be undone.
    """
    if not rules.shut:
        return
    for name in ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables"):
        try:
            on = Path("/proc/sys/net/bridge", name).read_bytes().strip() != b"0"
        except OSError:  # br_netfilter is not there
            continue
        if on:
            raise errors.KernelUnsupportedError(
                f"{what}: br_netfilter passes bridged packets through rules for forwarded ones, which would cut the "
                f"links of endpoints: run 'sysctl net.bridge.{name}=0', or leave enable_icc on",
                errno.EOPNOTSUPP,
            )


def _of_port(rules: NetworkRules, port: int, mac: bytes, addresses: Sequence[bytes]) -> list[Element]:
    elements: list[Element] = []
    if rules.shut:
        elements.append(("shut", index_key(port), b""))
    if rules.guard:
        at = index_key(port) + mac_key(mac)
        elements += [("guarded", index_key(port), b""), ("macs", at, b"")]
        elements += [(f"known{4 if len(ip) == 4 else 6}", at + ip, b"") for ip in addresses]
    return elements


def _of_pair(link: PairLink) -> Element:
    where = bytes((PROTOCOLS[link.protocol], 0, 0, 0)) + link.port.to_bytes(2, "big") + b"\0\0"
    return f"linked{4 if len(link.source) == 4 else 6}", link.source + link.target + where, b""

"""What the dataplane asks of the packet filter: networks and published ports, each call one transaction."""

from __future__ import annotations

import contextlib
import errno
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Final, final

from driverapi import errors
from driverapi._native import NftBatch
from driverapi.dataplane.firewall.contents import Change, Contents, Element, index_key, port_element, prefix_key
from driverapi.dataplane.firewall.hostports import HostPorts
from driverapi.dataplane.firewall.ruleset import make_table, table_name
from driverapi.dataplane.firewall.talk import RefusedError, Talk
from driverapi.plan import NetworkRules, PortMap, PortWish

__all__ = ["Firewall"]

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

    def add_network(self, network: str, rules: NetworkRules, links: Sequence[int]) -> None:
        """Have rules for a network, of those links."""
        with self._lock:
            elements = [(f"ours{prefix.version}", prefix_key(prefix), b"") for prefix in rules.prefixes]
            elements += [("links", index_key(index), b"") for index in links]
            elements += [("same", index_key(index, index), b"") for index in links]
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
                self._commit(f"network {network[:12]}", Change((), new))
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

    # --- ports ----------------------------------------------------------------------------------

    def publish(self, wishes: Sequence[Sequence[PortWish]]) -> list[list[PortMap] | Exception]:
        """Publish ports: for each sequence what it got, or why none of it is published."""
        answers: list[list[PortMap] | Exception] = []
        try:
            for some in wishes:
                try:
                    answers.append(self.ports.take(some))
                except errors.DriverAPIError as error:
                    answers.append(error)
            taken = [one for answer in answers if isinstance(answer, list) for one in answer]
            try:
                with self._lock:
                    self._commit("published ports", Change((), map(port_element, taken)))
            except errors.DriverAPIError as error:
                self.ports.release(taken)
                return [error if isinstance(answer, list) else answer for answer in answers]
        except BaseException:
            self.unpublish([one for answer in answers if isinstance(answer, list) for one in answer])
            raise
        return answers

    def publish_again(self, ports: Sequence[PortMap]) -> None:
        """Publish ports as they were before."""
        wishes = [
            PortWish(one.protocol, ((one.host, one.ip),), one.port, one.host_port, one.host_port) for one in ports
        ]
        for answer in self.publish([wishes]):
            if isinstance(answer, Exception):
                raise answer

    def unpublish(self, ports: Iterable[PortMap]) -> None:
        """Take published ports away; those that are not published are passed over."""
        ports = list(ports)
        with self._lock:
            elements = [element for element in map(port_element, ports) if self._contents.has(element)]
            self._commit("published ports", Change(elements))
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
            else:
                self.delete()

    def delete(self) -> None:
        """Delete the table, if there is one."""
        batch = NftBatch(table_name(self._instance))
        batch.delete_table()
        try:
            self._socket().commit(batch)
        except RefusedError as refused:
            if refused.errno not in (errno.ENOENT, errno.EOPNOTSUPP, errno.EINVAL):  # a kernel without nf_tables
                raise self._failure("the packet filter", refused) from refused
        except OSError as error:
            if error.errno != errno.EPROTONOSUPPORT:
                raise errors.KernelError(f"the packet filter: {error.strerror}", error.errno or 0) from error

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
            try:
                self._socket().commit(batch)
            except RefusedError as refused:
                if refused.errno != errno.ENOENT:
                    raise
                # There is no table yet, or somebody has deleted it, or it is of another version.
                self.ports.check_place()
                make_table(self._instance)
                batch.clear()
                whole = Contents()
                whole.take(self._contents)
                if change is not None:
                    whole.apply(change)
                whole.whole(batch)
                self._socket().commit(batch)
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

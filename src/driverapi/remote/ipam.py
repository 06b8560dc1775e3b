"""A Docker IPAM plugin as an IPAM of this package.

What an engine does for such a plugin is done here: auxiliary addresses and the gateway are asked for one by one and
given back before their pool; a default pool that is in use on this machine is held while another is asked for; and a
plugin that wants it (``RequiresRequestReplay``) is told again, after a restart, of what it had given.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, final

from driverapi import errors, labels
from driverapi.addresses import Address, format_ip, format_mac, parse_network, parse_prefix
from driverapi.errors import Kind
from driverapi.events import emit, of_fault
from driverapi.ipam.contract import SPACES, Avoid, Pool
from driverapi.places import TlsFiles
from driverapi.remote.answers import AddressAnswer, IpamCapabilities, Nothing, PoolAnswer, Spaces
from driverapi.remote.client import PATIENCE, TIMEOUT, Again, RefusedError, client_of, unheard
from driverapi.remote.debts import Debt, Debts
from driverapi.remote.documents import text_of

__all__ = ["RemoteIPAM"]

_TRIES: Final = 32
"""Default pools that are asked for until one is not in use here."""

_OWED: Final = 65_536
_GATEWAY: Final = labels.PREFIX + "gateway"
_TYPE: Final = "RequestAddressType"


@dataclass(slots=True)
class _Held:
    """A pool that the plugin gave."""

    prefix: Address
    within: Address | None
    options: dict[str, Any]
    owner: str
    gateway: Address | None = None  # that came with the pool: nobody asked for it
    own: list[bytes] = field(default_factory=list)  # the gateway and what is excluded: given back with the pool
    given: set[bytes] = field(default_factory=set)
    free: int | None = None  # known since fewer were to be had than were wanted
    turn: threading.Lock = field(default_factory=threading.Lock)  # one after the other: all or none


@final
class RemoteIPAM:
    """A Docker IPAM plugin.

    Parameters
    ----------
    name : str
        The plugin's. By it the plugin is found (:mod:`driverapi.places`) when it is first asked.
    address, tls, timeout, patience
        As for :class:`driverapi.remote.RemoteDriver`.

    Notes
    -----
    The protocol gives one address at a time, and has no question for how many are free: that is known only when there
    are none. It has no sizes of default pools either.

    Thread safety: all methods.
    """

    def __init__(
        self,
        name: str,
        address: str | None = None,
        tls: TlsFiles | None = None,
        *,
        timeout: float = TIMEOUT,
        patience: float = PATIENCE,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise errors.InvalidError(f"name of a plugin {name!r} must be text that is not empty")
        self._name = name
        self._client = client_of(name, address, tls, timeout=timeout, patience=patience)
        self._lock = threading.Lock()  # guards what is known of pools
        self._shaking = threading.RLock()
        self._wants: IpamCapabilities | None = None
        self._spaces = Spaces()
        self._held: dict[str, _Held] = {}
        self._replay: list[tuple[str, dict[str, Any]]] = []  # what the plugin had given before a restart
        self._debts = Debts(_OWED)  # what the plugin did not hear that it has back

    # --- pools ------------------------------------------------------------------------------------

    def request_pool(
        self,
        prefix: Address | None = None,
        *,
        version: int = 4,
        size: int | None = None,
        within: Address | None = None,
        exclude: Sequence[bytes] = (),
        serial: bool = False,
        avoid: Sequence[Avoid] = (),
        allow_overlap: bool = False,
        owner: str = "",
        space: str = SPACES[0],
        options: Mapping[str, Any] | None = None,
    ) -> Pool:
        """Take a pool, and what is excluded of it."""
        if size is not None:
            raise errors.NotImplementedYetError(
                f"plugin {self._name!r}: the protocol has no default pools of a given size; give the prefix"
            )
        if space not in SPACES:
            raise errors.InvalidError(f"address space {space!r} is not one of {', '.join(SPACES)}")
        if within is not None and prefix is None:
            raise errors.InvalidError(f"plugin {self._name!r}: ip_range is a part of a prefix; give that too")
        if prefix is not None and not allow_overlap:
            self._check_apart(prefix, avoid)
        self._begin()
        local = space == SPACES[0]
        name = self._spaces.local_default_address_space if local else self._spaces.global_default_address_space
        told = {key: text_of(value) for key, value in (options or {}).items()}
        document = {
            "AddressSpace": name or "",
            "Pool": "" if prefix is None else str(prefix),
            "SubPool": "" if within is None else str(within),
            "Options": told,
            "V6": version == 6 if prefix is None else prefix.version == 6,
        }
        check = [] if allow_overlap else list(avoid)
        id, held = self._pool(document, check, prefix, within)
        held.owner = owner or f"pool {id}"
        try:
            if serial:
                held.options[labels.IPAM_SERIAL] = "true"
            with self._lock:
                if id in self._held:
                    raise errors.ConflictError(f"plugin {self._name!r} gave pool {id!r:.80}, which is in use already")
                self._held[id] = held
            for ip in exclude:
                held.own.append(self.request_address(id, ip).ip)
        except BaseException as error:
            self._undo_pool(id, held, error)
            raise
        return Pool(id, held.prefix)

    def _check_apart(self, prefix: Address, avoid: Sequence[Avoid]) -> None:
        """Refuse a prefix that is in use, by name: the plugin does not know whose it is."""
        with self._lock:
            known = [Avoid(one.prefix, one.owner) for one in self._held.values()]
        for one in (*known, *avoid):
            if _overlap(one.prefix, prefix):
                raise errors.ConflictError(
                    f"{prefix} overlaps {one.what} {one.prefix}; choose another prefix, or allow the overlap"
                )

    def _pool(
        self, document: Mapping[str, Any], avoid: Sequence[Avoid], prefix: Address | None, within: Address | None
    ) -> tuple[str, _Held]:
        """Ask for a pool until it is not in use here; give those back that are."""
        rejected: list[str] = []
        try:
            for _ in range(1 if prefix is not None else _TRIES):
                answer = self._ask("RequestPool", document, PoolAnswer, Again.NEVER)
                again = answer.pool_id in rejected
                if answer.pool_id and not again:
                    rejected.append(answer.pool_id)  # until it is taken
                held = self._read_pool(answer, document, prefix, within)
                overlaps = [one for one in avoid if prefix is None and _overlap(one.prefix, held.prefix)]
                if not overlaps:
                    rejected.remove(answer.pool_id)
                    return answer.pool_id, held
                if again:
                    break
            raise errors.ConflictError(
                f"plugin {self._name!r} gave {held.prefix}, which overlaps {overlaps[0].what} {overlaps[0].prefix}, "
                "and no other; give the prefix"
            )
        finally:
            for id in rejected:
                self._quietly("ReleasePool", {"PoolID": id})

    def _read_pool(
        self, answer: PoolAnswer, document: Mapping[str, Any], prefix: Address | None, within: Address | None
    ) -> _Held:
        try:
            if not answer.pool_id:
                raise errors.InvalidError("PoolID is empty")
            given = parse_network(answer.pool, "Pool")
            if prefix is not None and given != prefix:
                raise errors.InvalidError(f"Pool is {given}, and {prefix} was asked for")
            if (given.version == 6) is not document["V6"]:
                raise errors.InvalidError(f"Pool is {given}, of another family than was asked for")
            gateway = (answer.data or {}).get(_GATEWAY)
            held = _Held(given, within, {}, "")
            if gateway:
                held.gateway = parse_prefix(gateway, "gateway")
                if held.gateway.ip not in given:
                    raise errors.InvalidError(f"gateway {gateway!r} is outside of {given}")
        except errors.DriverAPIError as error:
            raise errors.PluginError(f"plugin {self._name!r}: IpamDriver.RequestPool: it answered {error}") from error
        return held

    def _undo_pool(self, id: str, held: _Held, error: BaseException) -> None:
        with self._lock:
            if self._held.get(id) is held:
                del self._held[id]
            elif id in self._held:
                return  # it is another's
        for ip in held.own:
            self._quietly("ReleaseAddress", {"PoolID": id, "Address": format_ip(ip)}, error)
        self._quietly("ReleasePool", {"PoolID": id}, error)

    def release_pool(self, pool: str) -> None:
        """Give back the gateway, what was excluded, and the pool."""
        with self._lock:
            held = self._known(pool)
        self._begin()
        while held.own:
            self._give_back("ReleaseAddress", {"PoolID": pool, "Address": format_ip(held.own[-1])})
            held.given.discard(held.own.pop())
        self._give_back("ReleasePool", {"PoolID": pool})
        with self._lock:
            self._held.pop(pool, None)

    # --- addresses --------------------------------------------------------------------------------

    def request_gateway(self, pool: str, wanted: bytes | None) -> Address:
        """Take the gateway of a pool: that one, or the one that the plugin chooses; it is given back with the pool."""
        with self._lock:
            held = self._known(pool)
        if held.gateway is not None and wanted is None:
            return Address(held.gateway.ip, held.prefix.prefix)
        address = self._address(pool, held, wanted, {_TYPE: _GATEWAY})
        held.own.append(address.ip)
        return address

    def request_addresses(self, pool: str, count: int) -> list[Address]:
        """Take that many addresses, one after the other, all or none."""
        with self._lock:
            held = self._known(pool)
        taken: list[Address] = []
        with held.turn:
            try:
                for _ in range(count):
                    taken.append(self._address(pool, held, None, {}))  # noqa: PERF401 - what was taken must be known
            except BaseException as error:
                self._release(pool, held, [one.ip for one in taken], error)
                if isinstance(error, errors.AddressesExhaustedError):
                    held.free = len(taken)
                raise
        return taken

    def request_address(self, pool: str, wanted: bytes) -> Address:
        """Take a given address."""
        with self._lock:
            held = self._known(pool)
        return self._address(pool, held, wanted, {})

    def request_by_mac(self, pool: str, mac: bytes) -> Address:
        """Take an address for a MAC: the plugin is told it, and may go by it."""
        with self._lock:
            held = self._known(pool)
        return self._address(pool, held, None, {labels.ENDPOINT_MAC: format_mac(mac)})

    def remember_mac(self, pool: str, mac: bytes, address: bytes) -> None:
        """Do nothing: the protocol does not tell it."""

    def _address(self, pool: str, held: _Held, wanted: bytes | None, options: Mapping[str, str]) -> Address:
        """Ask for an address until it is one that nobody has here.

        One that somebody has is his, whatever became of it at the plugin, and is not given back.
        """
        self._begin()
        text = "" if wanted is None else format_ip(wanted)
        document = {"PoolID": pool, "Address": text, "Options": {**held.options, **options}}
        met: set[bytes] = set()
        while True:
            with self._lock:
                if wanted in held.given:
                    raise errors.AddressTakenError(f"address {text} is in use; choose another")
            answer = self._ask("RequestAddress", document, AddressAnswer, Again.NEVER)
            address = self._read_address(pool, held, wanted, answer)
            with self._lock:
                if address.ip not in held.given:
                    held.given.add(address.ip)
                    held.free = None if held.free is None else max(0, held.free - 1)
                    return Address(address.ip, held.prefix.prefix)
            if address.ip in met:
                raise errors.PluginError(
                    f"plugin {self._name!r}: IpamDriver.RequestAddress: it gave {format_ip(address.ip)} "
                    "again and again, which is in use",
                    "answered",
                )
            met.add(address.ip)

    def _read_address(self, pool: str, held: _Held, wanted: bytes | None, answer: AddressAnswer) -> Address:
        """Return what the plugin gave; what it was not asked for is given back."""
        try:
            address = parse_prefix(answer.address, "Address")
            if address.ip not in held.prefix or wanted not in (None, address.ip):
                which = f"of {held.prefix}" if wanted is None else format_ip(wanted)
                raise errors.InvalidError(f"Address {answer.address!r:.80}, and was asked for one {which}")
        except errors.DriverAPIError as error:
            with self._lock:
                known = {format_ip(ip) for ip in held.given}
            given = answer.address.partition("/")[0]
            if given not in known:
                self._quietly("ReleaseAddress", {"PoolID": pool, "Address": given}, error)
            raise errors.PluginError(
                f"plugin {self._name!r}: IpamDriver.RequestAddress: it answered {error}"
            ) from error
        return address

    def release_addresses(self, pool: str, addresses: Sequence[bytes]) -> None:
        """Give addresses back; one that the plugin does not know is passed over."""
        with self._lock:
            held = self._known(pool)
            for ip in addresses:
                if ip not in held.prefix:
                    raise errors.InvalidError(f"address {format_ip(ip)} is outside of {held.prefix}")
        self._release(pool, held, addresses, None)

    def _release(self, pool: str, held: _Held, addresses: Sequence[bytes], error: BaseException | None) -> None:
        """Give addresses back; what the plugin does not hear is told it when it is there again."""
        with contextlib.suppress(errors.DriverAPIError):  # what that is, is told below
            self._begin()
        for ip in addresses:
            with self._lock:
                if ip not in held.given:
                    continue
                held.given.discard(ip)
            self._quietly("ReleaseAddress", {"PoolID": pool, "Address": format_ip(ip)}, error)
            with self._lock:
                held.free = None if held.free is None else held.free + 1

    def free(self, pool: str) -> int:
        """Return how many addresses could be given, as far as is known here: at most so many."""
        with self._lock:
            held = self._known(pool)
            if held.free is not None:
                return held.free
            part = held.within or held.prefix
            most = 1 << (part.bits - part.prefix)
            if part == held.prefix and most > 2:  # the addresses of the whole prefix are nobody's
                most -= 2 if part.version == 4 else 1
            return int(max(0, most - len(held.given)))

    def _known(self, pool: str) -> _Held:
        held = self._held.get(pool)
        if held is None:
            raise errors.NotFoundError(f"no address pool {pool!r:.80} of plugin {self._name!r}")
        return held

    # --- after a restart --------------------------------------------------------------------------

    def know_pool(
        self,
        id: str,
        prefix: Address,
        *,
        within: Address | None = None,
        exclude: Sequence[bytes] = (),
        serial: bool = False,
        space: str = SPACES[0],
        options: Mapping[str, Any] | None = None,
    ) -> Pool:
        """Take note of a pool that the plugin gave to an earlier process; the plugin is not asked now."""
        held = _Held(prefix, within, {labels.IPAM_SERIAL: "true"} if serial else {}, f"pool {id}")
        with self._lock:
            self._held[id] = held
            self._replay.append(
                (
                    "RequestPool",
                    {
                        "AddressSpace": space,
                        "Pool": str(prefix),
                        "SubPool": "" if within is None else str(within),
                        "Options": {key: text_of(value) for key, value in (options or {}).items()},
                        "V6": prefix.version == 6,
                    },
                )
            )
        for ip in exclude:
            self.know_address(id, ip)
            held.own.append(ip)
        return Pool(id, prefix)

    def know_gateway(self, pool: str, ip: bytes) -> Address:
        """Take note of a gateway that the plugin gave to an earlier process."""
        with self._lock:
            held = self._known(pool)
            held.own.append(ip)
        self.know_address(pool, ip, {_TYPE: _GATEWAY})
        return Address(ip, held.prefix.prefix)

    def know_address(self, pool: str, ip: bytes, options: Mapping[str, str] | None = None) -> None:
        """Take note of an address that the plugin gave to an earlier process."""
        with self._lock:
            held = self._known(pool)
            held.given.add(ip)
            document = {"PoolID": pool, "Address": format_ip(ip), "Options": {**held.options, **(options or {})}}
            self._replay.append(("RequestAddress", document))

    # --- the plugin -------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Shake hands if that was not done; tell the plugin again what it had given, if it wants that."""
        if self._wants is not None and not self._replay and not self._debts:
            return
        with self._shaking:
            if self._wants is None:
                try:
                    self._client.check_implements("IpamDriver")
                    wants = self._capabilities()
                    self._spaces = self._client.call("IpamDriver.GetDefaultAddressSpaces", None, Spaces)
                except RefusedError as refused:
                    raise refused.error from None
                self._wants = wants
            self._tell_again()
            self._debts.pay(self._settle)

    def _settle(self, debt: Debt) -> None:
        """Give back what the plugin did not hear of, unless it had heard it, and has given it again."""
        verb, pool, address = debt
        with self._lock:
            held = self._held.get(pool)
            if held is not None and address in {format_ip(ip) for ip in held.given}:
                return
        document = {"PoolID": pool, "Address": address} if address else {"PoolID": pool}
        with contextlib.suppress(RefusedError):  # it heard it, and the log has what it said
            self._client.call(f"IpamDriver.{verb}", document, Nothing)

    def _capabilities(self) -> IpamCapabilities:
        """Ask what the plugin wants; an error means: nothing, as to an engine."""
        try:
            return self._client.call("IpamDriver.GetCapabilities", None, IpamCapabilities)
        except RefusedError:
            return IpamCapabilities()

    def _tell_again(self) -> None:
        assert self._wants is not None
        while True:
            with self._lock:
                if not self._replay:
                    return
                if not self._wants.requires_replay:
                    self._replay.clear()
                    return
                verb, document = self._replay[0]
            if verb == "RequestPool":
                spaces = self._spaces
                local = document["AddressSpace"] == SPACES[0]
                space = spaces.local_default_address_space if local else spaces.global_default_address_space
                document = {**document, "AddressSpace": space or ""}
            try:
                self._client.call(f"IpamDriver.{verb}", document, Nothing)
            except errors.PluginDownError:
                raise  # it is told with what comes next
            except (RefusedError, errors.PluginError):
                pass  # logged; an engine goes on too
            with self._lock:
                self._replay.pop(0)

    def _ask(self, verb: str, document: Mapping[str, Any], kind: Any, again: Again) -> Any:
        try:
            return self._client.call(f"IpamDriver.{verb}", document, kind, again=again)
        except RefusedError as refused:
            raise refused.error from None

    def _give_back(self, verb: str, document: Mapping[str, Any]) -> None:
        """Give something back; a no without a kind is passed over, as an engine does with all of them.

        Most plugins say 500 of what they do not know: a pool of theirs could never be given back here.
        """
        try:
            self._client.call(f"IpamDriver.{verb}", document, Nothing)
        except RefusedError as refused:
            if refused.refusal.told and refused.refusal.kind not in (Kind.INTERNAL, Kind.NOT_FOUND):
                raise refused.error from None
            fault: Exception = refused.error
        except errors.PluginError as error:
            if error.outcome != "answered":
                raise
            fault = error
        else:
            return
        emit("remote.ignored", driver=self._name, verb=verb, **of_fault(fault))

    def _quietly(self, verb: str, document: Mapping[str, Any], error: BaseException | None = None) -> None:
        """Give something back that nobody has any more; what goes wrong is in the log."""
        try:
            self._client.call(f"IpamDriver.{verb}", document, Nothing)
        except RefusedError as refused:
            fault: Exception = refused.error
        except errors.DriverAPIError as down:
            fault = down
            if unheard(down):
                self._debts.owe((verb, document["PoolID"], document.get("Address", "")))
        else:
            return
        if error is not None:
            error.add_note(f"while undoing: {fault}")

    def __repr__(self) -> str:
        return f"<RemoteIPAM {self._name!r}>"


def _overlap(one: Address, other: Address) -> bool:
    return one.version == other.version and one.overlaps(other)

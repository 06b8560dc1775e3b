"""What a sandbox is served with besides its network: host name, ``/etc/hosts``, ``/etc/resolv.conf``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from driverapi import errors
from driverapi.addresses import format_ip, parse_ip
from driverapi.services import resolvconf
from driverapi.services.hosts import HostsEntry, check_hostname, is_hostname

if TYPE_CHECKING:
    from driverapi.addresses import IPLike

__all__ = ["Services", "services_of"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the files of a sandbox shall say; for ``Controller.create_sandbox(services=…)``.

    Attributes
    ----------
    hostname : str
        Its own name in ``/etc/hosts``; by default the sandbox's, where that can be one.
    domain : str
        Then ``hostname.domain`` is its canonical name.
    extra_hosts : mapping, or sequence of str
        Further names: to an address or several, or texts ``"name:address"``.
    dns : sequence of address
        Name servers; by default those of the host that a sandbox can reach.
    dns_search, dns_options : sequence of str
        By default the host's; ``["."]`` for no search domain at all.
    dns_fallback : sequence of address
        Name servers where the host's can none be reached, as one at 127.0.0.53; may be empty.
    in_place : bool
        Write the files in place. By default a new file takes the place of the old one in one step (``rename(2)``),
        and nobody ever sees half of it; but who has bind-mounted the *file* keeps seeing the old one.

    Raises
    ------
    errors.InvalidError
        A value is none of these.
    """

    hostname: str = ""
    domain: str = ""
    extra_hosts: Mapping[str, IPLike | Sequence[IPLike]] | Sequence[str] = ()
    dns: Sequence[IPLike] = ()
    dns_search: Sequence[str] = ()
    dns_options: Sequence[str] = ()
    dns_fallback: Sequence[IPLike] = resolvconf.FALLBACK
    in_place: bool = False
    entries: tuple[HostsEntry, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for what in ("hostname", "domain"):
            if getattr(self, what) != "":
                check_hostname(getattr(self, what), what)
        if not isinstance(self.in_place, bool):
            raise errors.InvalidError(f"in_place {self.in_place!r} is neither True nor False")
        self._set("dns", resolvconf.check_servers(self.dns, "dns"))
        self._set("dns_fallback", resolvconf.check_servers(self.dns_fallback, "dns_fallback"))
        self._set("dns_search", resolvconf.check_search(self.dns_search, "dns_search"))
        self._set("dns_options", resolvconf.check_options(self.dns_options, "dns_options"))
        self._set("entries", tuple(_entries(self.extra_hosts)))
        self._set("extra_hosts", tuple(f"{name}:{one.ip}" for one in self.entries for name in one.names))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def resolv_conf(self, host: str, *, ipv6: bool, ipv4: bool = True) -> resolvconf.ResolvConf:
        """Return what the resolver is told, where the host's file has that text."""
        found = resolvconf.parse(host)
        search = tuple(self.dns_search) or found.search
        conf = resolvconf.ResolvConf(
            tuple(str(one) for one in self.dns) or found.nameservers,
            () if search == (".",) else search,
            tuple(self.dns_options) or found.options,
        )
        if self.dns:  # as its user wants them
            return conf
        return resolvconf.filtered(conf, ipv6=ipv6, ipv4=ipv4, fallback=[str(one) for one in self.dns_fallback])

    def names(self, sandbox: str) -> tuple[str, ...]:
        """Return the names of the sandbox itself, the canonical one first; none where its own can be none."""
        short = self.hostname or (sandbox if is_hostname(sandbox) else "")
        if not short:
            return ()
        return (f"{short}.{self.domain}", short) if self.domain else (short,)

    def kept(self) -> dict[str, Any]:
        """Return plain data to make the same of: ``Services(**kept)``."""
        return {
            "hostname": self.hostname,
            "domain": self.domain,
            "extra_hosts": list(self.extra_hosts),
            "dns": list(self.dns),
            "dns_search": list(self.dns_search),
            "dns_options": list(self.dns_options),
            "dns_fallback": list(self.dns_fallback),
            "in_place": self.in_place,
        }


def services_of(given: object) -> Services | None:
    """Return what ``create_sandbox`` was given: None for no files, True for all defaults.

    Raises
    ------
    errors.InvalidError
        It is neither, and no ``Services``.
    """
    if given is None or given is False:
        return None
    if given is True:
        return Services()
    if isinstance(given, Services):
        return given
    raise errors.InvalidError(f"services {given!r} is neither True nor Services(hostname=…)")


def _entries(given: object) -> list[HostsEntry]:
    pairs: list[tuple[object, object]] = []
    if isinstance(given, Mapping):
        for name, value in given.items():
            several = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]
            pairs += [(name, one) for one in several]
    elif isinstance(given, Sequence) and not isinstance(given, str | bytes):
        for text in given:
            if not isinstance(text, str) or ":" not in text:
                raise errors.InvalidError(f"extra_hosts {text!r} is not 'name:address', such as 'db:10.0.0.9'")
            name, _, address = text.partition(":")
            bracketed = address.startswith("[") and address.endswith("]")
            pairs.append((name, address[1:-1] if bracketed else address))
    else:
        raise errors.InvalidError(f"extra_hosts {given!r} is neither a mapping of name to address nor a sequence")
    return [
        HostsEntry(format_ip(parse_ip(ip, f"extra_hosts: address of {name!r}")), (check_hostname(name, "extra_hosts"),))
        for name, ip in pairs
    ]

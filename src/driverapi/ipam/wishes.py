"""What a user wants of the address pools of a network, one wish for each family; and what of the host is in the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from driverapi import errors
from driverapi.addresses import Address, parse_ip, parse_network, parse_prefix
from driverapi.ipam.asking import ask
from driverapi.ipam.contract import IPAM, SPACES, Avoid, KnowsPools, Pool
from driverapi.ipam.default import DefaultIPAM
from driverapi.services import resolvconf
from driverapi.services.hostresolver import host_resolv_conf

if TYPE_CHECKING:
    from driverapi.addresses import IPLike, PrefixLike
    from driverapi.dataplane.contract import Dataplane

__all__ = ["Wish", "in_use", "wishes_of"]

SPACE: Final = SPACES[0]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of one family.

    Attributes
    ----------
    prefix, size
        One of them, or neither: a certain prefix, or any of that length.
    pool : str
        The id of one that an earlier process had.
    """

    version: int
    prefix: Address | None = None
    size: int | None = None
    gateway: bytes | None = None
    within: Address | None = None
    exclude: tuple[bytes, ...] = ()
    serial: bool = False
    space: str = SPACE
    options: Mapping[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = ()  # of what is excluded
    pool: str = ""

    def check_unused(self, network: str) -> None:
        """Refuse what would need a prefix of this family, where there is none."""
        for what, given in (("gateway", self.gateway), ("ip_range", self.within), ("aux_addresses", self.exclude)):
            if given:
                raise errors.InvalidError(f"network {network!r}: {what} needs an IPv{self.version} prefix")

    def known(self, ipam: KnowsPools) -> Pool:
        """Have an IPAM know the pool that it gave."""
        assert self.prefix is not None
        return ipam.know_pool(
            self.pool,
            self.prefix,
            within=self.within,
            exclude=self.exclude,
            serial=self.serial,
            space=self.space,
            options=self.options,
        )

    def request(self, ipam: IPAM, owner: str, avoid: Sequence[Avoid], *, allow_overlap: bool) -> Pool:
        """Take the pool. An IPAM of others is asked only for what was wished."""
        more: dict[str, Any] = {}
        if self.size is not None:
            more["size"] = self.size
        if self.within is not None:
            more["within"] = self.within
        if self.exclude:
            more["exclude"] = self.exclude
        if self.serial:
            more["serial"] = True
        if self.space != SPACE:
            more["space"] = self.space
        if self.options:
            more["options"] = self.options
        if allow_overlap:
            more["allow_overlap"] = True
        if self.pool and isinstance(ipam, DefaultIPAM):
            more["known"] = self.pool
        return ask(ipam.request_pool, self.prefix, version=self.version, avoid=avoid, owner=owner, **more)


def wishes_of(
    ipv4: PrefixLike | None,
    ipv6: PrefixLike | None,
    gateway: IPLike | None,
    gateway_ipv6: IPLike | None,
    ip_range: PrefixLike | Sequence[PrefixLike],
    aux_addresses: Mapping[str, IPLike] | None,
    *,
    serial: bool,
    space: str = SPACE,
    options: Mapping[str, Any] | None = None,
) -> tuple[Wish, Wish]:
    """Read the arguments of ``create_network`` that are about addresses.

    Raises
    ------
    errors.InvalidError
        One is none, of another family, or given twice.
    """
    if isinstance(serial, bool) is False:
        raise errors.InvalidError(f"serial {serial!r} is not a truth value")
    ranges = ip_range if isinstance(ip_range, list | tuple) else [ip_range]
    within: dict[int, Address] = {}
    for one in ranges:
        prefix = parse_network(one, "ip_range")
        if prefix.version in within:
            raise errors.InvalidError(f"ip_range is given twice for IPv{prefix.version}: {prefix} comes second")
        within[prefix.version] = prefix
    if aux_addresses is not None and not isinstance(aux_addresses, Mapping):
        raise errors.InvalidError(f"aux_addresses must map names to addresses, not {aux_addresses!r}")
    excluded = {name: parse_ip(value, f"aux address {name!r}") for name, value in (aux_addresses or {}).items()}
    made = []
    for version, given, router, what in ((4, ipv4, gateway, ""), (6, ipv6, gateway_ipv6, "_ipv6")):
        prefix4, size = _prefix_or_size(given, version)
        of_it = {name: ip for name, ip in excluded.items() if len(ip) == (4 if version == 4 else 16)}
        made.append(
            Wish(
                version,
                prefix4,
                size,
                None if router is None else parse_ip(router, f"gateway{what}"),
                within.get(version),
                tuple(of_it.values()),
                serial,
                space,
                options or {},
                tuple(map(str, of_it)),
            )
        )
    return made[0], made[1]


def _prefix_or_size(given: PrefixLike | None, version: int) -> tuple[Address | None, int | None]:
    if given is None:
        return None, None
    what = f"ipv{version}"
    if isinstance(given, str) and "/" in given:
        asked = parse_prefix(given, what)
        if asked.version == version and not any(asked.ip) and asked.prefix:
            return None, asked.prefix
    return parse_network(given, what, version), None


def in_use(dataplane: Dataplane, but: str = "") -> list[Avoid]:
    """Return the prefixes that the host has routes to, but for those by the link of a name, and its name servers."""
    return [Avoid(prefix, "the host's route to") for prefix in dataplane.host_prefixes(but)] + [
        Avoid(server, "the host's name server") for server in _name_servers()
    ]


def _name_servers() -> list[Address]:
    """Return the addresses that the host's resolver asks, loopback left out."""
    asked = (parse_ip(one.partition("%")[0]) for one in resolvconf.parse(host_resolv_conf()).nameservers)
    return [Address(ip, len(ip) * 8) for ip in asked if ip[0] != 127 and ip != bytes(15) + b"\1"]

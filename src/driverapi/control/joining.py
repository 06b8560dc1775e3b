"""What a user may want of any endpoint, whatever its driver: routes, the default route's priority, sysctls.

As options (:data:`driverapi.labels.SERVED`) of ``create_endpoint`` or ``join``, or as arguments of ``join``::

    com.docker.network.endpoint.routes        10.9.0.0/16 via 10.77.0.3, fd09::/64 via fd77::3, 10.8.0.0/24
    com.docker.network.endpoint.gw_priority   10
    com.docker.network.endpoint.sysctls       net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.conf.IFNAME.accept_ra=0

A sysctl is one of an interface, whose name stands as ``IFNAME``; any other is refused: it would be the whole
sandbox's, or the host's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from driverapi import errors, labels
from driverapi.addresses import parse_ip, parse_network
from driverapi.plan import Route, Sysctl

__all__ = ["NOTHING", "JoinWishes", "wishes_of", "with_arguments"]

PRIORITIES: Final = (-(1 << 31), (1 << 31) - 1)

_SYSCTL: Final = re.compile(r"net\.(ipv4|ipv6|mpls)\.(conf|neigh)\.IFNAME\.([a-z0-9_]{1,64})")
_VALUE: Final = re.compile(r"[ -~]{1,128}")
_FORM: Final = "net.ipv4.conf.IFNAME.log_martians=1"


@dataclass(frozen=True, slots=True)
class JoinWishes:
    """What is wanted of one endpoint."""

    priority: int = 0
    routes: tuple[Route, ...] = ()
    sysctls: tuple[Sysctl, ...] = ()


NOTHING: Final = JoinWishes()


def wishes_of(*several: Mapping[str, Any]) -> JoinWishes:
    """Read options: of ``create_endpoint``, then of ``join``, which come after and go before.

    Raises
    ------
    errors.InvalidError
        One says what cannot be.
    """
    if not any(options and not labels.SERVED.isdisjoint(options) for options in several):
        return NOTHING
    priority = 0
    routes: dict[Any, Route] = {}
    sysctls: dict[Any, Sysctl] = {}
    for options in several:
        if labels.GW_PRIORITY in options:
            priority = _priority(options[labels.GW_PRIORITY])
        routes |= {one.destination: one for one in _routes(options.get(labels.ENDPOINT_ROUTES, ()))}
        sysctls |= {
            (one.family, one.group, one.name): one for one in _sysctls(options.get(labels.ENDPOINT_SYSCTLS, ()))
        }
    return JoinWishes(priority, tuple(routes.values()), tuple(sysctls.values()))


def with_arguments(
    options: Mapping[str, Any], priority: int | None, routes: Sequence[str], sysctls: Mapping[str, object]
) -> dict[str, Any]:
    """Return options with what was said as arguments, in the form in which a state keeps it.

    Raises
    ------
    errors.InvalidError
        Something is said twice, or cannot be.
    """
    made = dict(options)
    for name, value in (
        (labels.GW_PRIORITY, priority),
        (labels.ENDPOINT_ROUTES, list(_parts(labels.ENDPOINT_ROUTES, routes)) or None),
        (labels.ENDPOINT_SYSCTLS, list(_parts(labels.ENDPOINT_SYSCTLS, sysctls)) or None),
    ):
        if value is None:
            continue
        if name in made:
            raise errors.InvalidError(
                f"option {name!r} and the argument that is the same are both given; leave one out"
            )
        made[name] = value
    return made


def _priority(value: object) -> int:
    negative = isinstance(value, str) and value.strip().startswith("-")
    if negative and isinstance(value, str):
        return -labels.as_int(labels.GW_PRIORITY, value.strip()[1:], 0, -PRIORITIES[0])
    return labels.as_int(labels.GW_PRIORITY, value, *PRIORITIES)


def _parts(name: str, value: object) -> Sequence[str]:
    """Return the parts of an option: of text with commas, of a sequence, or of a mapping."""
    if isinstance(value, str):
        return [part for part in (one.strip() for one in value.split(",")) if part]
    if isinstance(value, Mapping):
        value = [f"{key}={one}" for key, one in value.items()]
    if not isinstance(value, Sequence) or isinstance(value, bytes) or not all(isinstance(one, str) for one in value):
        raise errors.InvalidError(f"option {name!r}: {value!r} is neither text nor a sequence of texts")
    return value


def _routes(value: object) -> list[Route]:
    what = f"option {labels.ENDPOINT_ROUTES!r}"
    found: dict[Any, Route] = {}
    for part in _parts(labels.ENDPOINT_ROUTES, value):
        words = part.split()
        if len(words) not in (1, 3) or (len(words) == 3 and words[1] != "via"):
            raise errors.InvalidError(f"{what}: {part!r} is not 'PREFIX' or 'PREFIX via ADDRESS'")
        prefix = parse_network(words[0], f"{what}: destination")
        if not prefix.prefix:
            raise errors.InvalidError(
                f"{what}: {part!r} is a default route: those come from the networks' gateways, by priority"
            )
        hop = parse_ip(words[2], f"{what}: next hop") if len(words) == 3 else None
        if hop is not None and len(hop) != len(prefix.ip):
            raise errors.InvalidError(f"{what}: {part!r} mixes IPv4 and IPv6")
        if prefix in found:
            raise errors.InvalidError(f"{what}: {words[0]} comes twice")
        found[prefix] = Route(prefix, hop)
    return list(found.values())


def _sysctls(value: object) -> list[Sysctl]:
    what = f"option {labels.ENDPOINT_SYSCTLS!r}"
    found: dict[str, Sysctl] = {}
    for part in _parts(labels.ENDPOINT_SYSCTLS, value):
        key, equals, text = part.partition("=")
        matched = _SYSCTL.fullmatch(key.strip())
        if not equals or matched is None:
            raise errors.InvalidError(
                f"{what}: {part!r} is no sysctl of an interface; write IFNAME in the place of its name: {_FORM!r}"
            )
        if not _VALUE.fullmatch(text.strip()):
            raise errors.InvalidError(f"{what}: {part!r} has no value that is 1 to 128 letters of ASCII")
        if key.strip() in found:
            raise errors.InvalidError(f"{what}: {key.strip()} comes twice")
        found[key.strip()] = Sysctl(matched[1], matched[2], matched[3], text.strip())
    return list(found.values())

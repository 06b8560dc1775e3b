"""Family ``iflist``: records of interfaces."""

from __future__ import annotations

from driverapi.bench.task import OURS, Contender, Workload

__all__ = ["rows"]

_LENGTHS = (100, 1_000, 10_000)


def _lists(kind: str, about: str) -> tuple[Contender, ...]:
    """Return who takes part; the file of the peers needs netaddr for all of them."""
    file = f"peers.interface_lists:{kind}"
    listed = [
        Contender(OURS, f"iflist:Ours{kind}", about=about),
        Contender("dataclass", f"{file}Bytes", "netaddr", "a list of dataclasses with slots, fields are bytes"),
        Contender("netaddr objects", f"{file}Netaddr", "netaddr", "a list of named tuples of EUI and IPNetwork"),
    ]
    if kind == "Append":
        listed.append(
            Contender(
                "ipaddress objects",
                f"{file}Ipaddress",
                "netaddr",
                "a list of named tuples of IPv4Interface and IPv6Interface",
            )
        )
    return tuple(listed)


def rows() -> tuple[Workload, ...]:
    """Return its workloads."""
    kinds = (
        ("append", "Append", "InterfaceList.append", "id, MAC, IPv4 and IPv6 address, one interface at a time"),
        ("fill", "Fill", "extend, then fill of two IPPool and a MACPool", "as many as that at once, addresses drawn"),
        ("read", "Read", "id(row), mac(row), ipv4(row), ipv6(row)", "each field of each interface, packed"),
    )
    return tuple(
        Workload(
            "iflist",
            f"{name}, {length:,}",
            "interface",
            _lists(kind, how),
            {"length": length, "count": 10_000},
            {"length": min(length, 1_000), "count": 1_000},
            rounds=3,
            memory=kind != "Read",
            series=name,
            at=f"{length:,}",
            about=about,
        )
        for name, kind, how, about in kinds
        for length in _LENGTHS
    )

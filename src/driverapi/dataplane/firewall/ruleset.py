"""The table of one instance: chains and rules are always the same, and sets and maps say what they are about.

So a network or a published port is elements alone. The text is made by the ``nft`` program, once per instance,
when the first of them is needed. JSON (``nft -j``) would say the same in five times as many lines.
"""

from __future__ import annotations

import errno
import shutil
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from driverapi import errors

__all__ = ["FAMILIES", "SETS", "TABLE_MARK", "Set", "make_tables", "script", "table_name"]

TABLE_MARK: Final = "driverapi-"
"""How the names of our tables begin; the instance id follows."""

VERSION: Final = "version2"
"""A set by that name tells a later version of this package that the table is not its own. It is always empty."""

_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Set:
    """One set or map.

    Attributes
    ----------
    type : str
        As ``nft`` writes it.
    key, data : int
        Bytes of a key and of a datum; 0 of a set.
    interval : bool
        A key is a prefix: packed address and length.
    family : str
        Of the table that it is in.
    """

    type: str
    key: int
    data: int = 0
    interval: bool = False
    family: str = "inet"

    @property
    def flags(self) -> str:
        """As ``nft`` writes them."""
        return " flags interval;" if self.interval else ""


SETS: Final = {
    # host address, protocol, port → address and port of a sandbox; of every address of the host
    "ports4": Set("ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service", 12, 8),
    "ports6": Set("ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service", 24, 20),
    "any4": Set("inet_proto . inet_service : ipv4_addr . inet_service", 8, 8),
    "any6": Set("inet_proto . inet_service : ipv6_addr . inet_service", 8, 20),
    # prefixes of networks; those whose traffic leaves under another address; and which, where it is not the link's
    "ours4": Set("ipv4_addr", 4, interval=True),
    "ours6": Set("ipv6_addr", 16, interval=True),
    "masquerade4": Set("ipv4_addr", 4, interval=True),
    "masquerade6": Set("ipv6_addr", 16, interval=True),
    "source4": Set("ipv4_addr : ipv4_addr", 4, 4, interval=True),
    "source6": Set("ipv6_addr : ipv6_addr", 16, 16, interval=True),
    # address of a sandbox, protocol, port: what is reached there itself
    "open4": Set("ipv4_addr . inet_proto . inet_service", 12),
    "open6": Set("ipv6_addr . inet_proto . inet_service", 24),
    # names of links of the host, with links of networks that are reached by them past all that follows
    "trusted": Set("ifname . iface_index", 20),
    # links of networks; each with itself; those of internal ones; those that are reached by published ports alone
    "links": Set("iface_index", 4),
    "same": Set("iface_index . iface_index", 8),
    "internal": Set("iface_index", 4),
    "protected": Set("iface_index . nf_proto", 8),
    "pinged": Set("iface_index . nf_proto", 8),
    VERSION: Set("mark", 4),
    # MAC addresses of bridges of shut networks, and their ports; who reaches which port of whom all the same
    "gates": Set("ether_addr", 6, family="bridge"),
    "shut": Set("iface_index", 4, family="bridge"),
    "linked4": Set("ipv4_addr . ipv4_addr . inet_proto . inet_service", 16, family="bridge"),
    "linked6": Set("ipv6_addr . ipv6_addr . inet_proto . inet_service", 40, family="bridge"),
    # ports of bridges that are looked at, and what may come in by them
    "guarded": Set("iface_index", 4, family="bridge"),
    "macs": Set("iface_index . ether_addr", 12, family="bridge"),
    "known4": Set("iface_index . ether_addr . ipv4_addr", 16, family="bridge"),
    "known6": Set("iface_index . ether_addr . ipv6_addr", 28, family="bridge"),
}
"""By name. Those of family ``bridge`` are in a table of the same name, which is made for networks that need it alone:
every frame on every bridge then comes by its chains."""

FAMILIES: Final = {"inet": 1, "bridge": 7}
"""Of our tables, and their numbers (``NFPROTO_``)."""

_BRIDGE_CHAINS: Final = """
	chain prerouting {
		type filter hook prerouting priority -300; policy accept;
		iif @guarded jump guard
	}
	chain guard {
		iif . ether saddr != @macs drop
		ether type { 8021q, 8021ad } drop
		ether type ip iif . ether saddr . ip saddr != @known4 drop
		ether type arp arp saddr ip != 0.0.0.0 iif . ether saddr . arp saddr ip != @known4 drop
		ether type ip6 ip6 saddr != { ::, fe80::/10 } iif . ether saddr . ip6 saddr != @known6 drop
	}
	chain forward {
		type filter hook forward priority 0; policy accept;
		ether daddr @gates accept
		ether type arp accept
		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
		ip saddr . ip daddr . meta l4proto . th dport @linked4 accept
		ip daddr . ip saddr . meta l4proto . th sport @linked4 accept
		ip6 saddr . ip6 daddr . meta l4proto . th dport @linked6 accept
		ip6 daddr . ip6 saddr . meta l4proto . th sport @linked6 accept
		iif @shut drop
	}
"""

_CHAINS: Final = """
	chain guard {
		type filter hook prerouting priority raw; policy accept;
		iif @links ip saddr 127.0.0.0/8 drop
		iif @links ip daddr 127.0.0.0/8 drop
	}
	chain publish {
		dnat ip to ip daddr . meta l4proto . th dport map @ports4
		dnat ip6 to ip6 daddr . meta l4proto . th dport map @ports6
		fib daddr type != local return
		meta nfproto ipv4 dnat ip to meta l4proto . th dport map @any4
		meta nfproto ipv6 ip6 daddr != ::1 dnat ip6 to meta l4proto . th dport map @any6
	}
	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		meta l4proto { tcp, udp, sctp } jump publish
	}
	chain output {
		type nat hook output priority -100; policy accept;
		meta l4proto { tcp, udp, sctp } jump publish
	}
	chain forward {
		type filter hook forward priority filter; policy accept;
		iif . oif @same accept
		iif @internal drop
		oif @internal drop
		ct state established,related accept
		ct status dnat accept
		ip daddr . meta l4proto . th dport @open4 accept
		ip6 daddr . meta l4proto . th dport @open6 accept
		oif . meta nfproto @pinged meta l4proto { icmp, icmpv6 } accept
		iifname . oif @trusted accept
		oif . meta nfproto @protected drop
		iif @links oif @links drop
	}
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		oif @links ip saddr 127.0.0.0/8 masquerade
		ct status dnat ip saddr @ours4 ip daddr @ours4 masquerade
		ct status dnat ip6 saddr @ours6 ip6 daddr @ours6 masquerade
		ip daddr != @ours4 snat ip to ip saddr map @source4
		ip daddr != @ours4 ip saddr @masquerade4 masquerade
		ip6 daddr != @ours6 snat ip6 to ip6 saddr map @source6
		ip6 daddr != @ours6 ip6 saddr @masquerade6 masquerade
	}
	chain wire {
		type filter hook postrouting priority 300; policy accept;
		oif @links ip saddr 127.0.0.0/8 drop
	}
"""


def table_name(instance: str) -> str:
    """Return the name of an instance's tables."""
    return f"{TABLE_MARK}{instance}"


def script(instance: str, families: Collection[str] = ("inet",)) -> str:
    """Return the text that makes the tables of those families, in the place of those that there are."""
    text = ""
    for family in families:
        name = f"{family} {table_name(instance)}"
        sets = "".join(
            f"\t{'map' if one.data else 'set'} {key} {{ type {one.type};{one.flags} }}\n"
            for key, one in SETS.items()
            if one.family == family
        )
        chains = _CHAINS if family == "inet" else _BRIDGE_CHAINS
        text += f"add table {name}\ndelete table {name}\ntable {name} {{\n{sets}{chains}}}\n"
    return text


def make_tables(instance: str, families: Collection[str]) -> None:
    """Make the tables of those families, empty: in the network namespace of the calling thread.

    Raises
    ------
    errors.KernelUnsupportedError
        There is no ``nft`` program, or the kernel lacks what the table needs.
    errors.NoPermissionError, errors.KernelError
        It was refused.
    """
    program = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        raise errors.KernelUnsupportedError(
            "packet filter rules (published ports, masquerading, isolation) need the program 'nft', which is not "
            "there: install nftables, or leave those options out",
            errno.ENOENT,
        )
    try:
        done = subprocess.run(  # noqa: S603 - a path of the system, no shell
            [program, "-f", "-"],
            input=script(instance, families),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            env={"LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise errors.KernelError(f"nft -f: {error}", getattr(error, "errno", 0) or 0) from error
    if done.returncode:
        raise _refusal(done.stderr)


def _refusal(said: str) -> errors.KernelError:
    """Return the error for what ``nft`` wrote."""
    first = next((line.strip() for line in said.splitlines() if "rror" in line or "not" in line), said.strip())
    text = f"packet filter rules cannot be made: nft: {first}"
    if "Operation not permitted" in said or "ermission denied" in said:
        return errors.NoPermissionError(f"{text}; this needs CAP_NET_ADMIN", errno.EPERM)
    if any(
        words in said for words in ("not supported", "Could not process rule: No such file", "cache initialization")
    ):
        return errors.KernelUnsupportedError(
            f"{text}; this kernel needs nf_tables with nat, fib and conntrack (CONFIG_NFT_NAT, CONFIG_NFT_FIB_INET)",
            errno.EOPNOTSUPP,
        )
    return errors.KernelError(text, errno.EINVAL)

"""The table of one instance: chains and rules are always the same, and sets and maps say what they are about.

So a network or a published port is elements alone. The text is made by the ``nft`` program, once per instance,
when the first of them is needed. JSON (``nft -j``) would say the same in five times as many lines.
"""

from __future__ import annotations

import errno
import shutil
import subprocess
from dataclasses import dataclass
from typing import Final

from driverapi import errors

__all__ = ["SETS", "TABLE_MARK", "Set", "make_table", "script", "table_name"]

TABLE_MARK: Final = "driverapi-"
"""How the names of our tables begin; the instance id follows."""

VERSION: Final = "version1"
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
    """

    type: str
    key: int
    data: int = 0
    interval: bool = False


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
    # links of networks; each with itself
    "links": Set("iface_index", 4),
    "same": Set("iface_index . iface_index", 8),
    VERSION: Set("mark", 4),
}
"""By name."""

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
		ct state established,related accept
		ct status dnat accept
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
    """Return the name of an instance's table (family ``inet``)."""
    return f"{TABLE_MARK}{instance}"


def script(instance: str) -> str:
    """Return the text that makes the table, in the place of one that there is."""
    name = table_name(instance)
    sets = "".join(
        f"\t{'map' if one.data else 'set'} {key} {{ type {one.type};{' flags interval;' if one.interval else ''} }}\n"
        for key, one in SETS.items()
    )
    return f"add table inet {name}\ndelete table inet {name}\ntable inet {name} {{\n{sets}{_CHAINS}}}\n"


def make_table(instance: str) -> None:
    """Make the table, empty: in the network namespace of the calling thread.

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
            input=script(instance),
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

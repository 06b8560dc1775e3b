"""Names of rtnetlink's attributes, for errors and traces: which one stands at an offset of a message.

Tables are in the order of the kernel's own enums (include/uapi/linux/if_link.h, if_addr.h, rtnetlink.h,
neighbour.h, fib_rules.h), so that a position is a type.
"""

from __future__ import annotations

import sys
from typing import Final

__all__ = ["missing_name", "name_of", "path_of"]


def _table(names: str) -> list[str]:
    return names.split()


_LINK: Final = _table(
    "UNSPEC ADDRESS BROADCAST IFNAME MTU LINK QDISC STATS COST PRIORITY MASTER WIRELESS PROTINFO TXQLEN MAP WEIGHT "
    "OPERSTATE LINKMODE LINKINFO NET_NS_PID IFALIAS NUM_VF VFINFO_LIST STATS64 VF_PORTS PORT_SELF AF_SPEC GROUP "
    "NET_NS_FD EXT_MASK PROMISCUITY NUM_TX_QUEUES NUM_RX_QUEUES CARRIER PHYS_PORT_ID CARRIER_CHANGES "
    "PHYS_SWITCH_ID LINK_NETNSID PHYS_PORT_NAME PROTO_DOWN GSO_MAX_SEGS GSO_MAX_SIZE PAD XDP EVENT NEW_NETNSID "
    "IF_NETNSID CARRIER_UP_COUNT CARRIER_DOWN_COUNT NEW_IFINDEX MIN_MTU MAX_MTU PROP_LIST ALT_IFNAME PERM_ADDRESS "
    "PROTO_DOWN_REASON PARENT_DEV_NAME PARENT_DEV_BUS_NAME GRO_MAX_SIZE TSO_MAX_SIZE TSO_MAX_SEGS ALLMULTI"
)
_INFO: Final = _table("UNSPEC KIND DATA XSTATS SLAVE_KIND SLAVE_DATA")
_ADDRESS: Final = _table(
    "UNSPEC ADDRESS LOCAL LABEL BROADCAST ANYCAST CACHEINFO MULTICAST FLAGS RT_PRIORITY TARGET_NETNSID PROTO"
)
_ROUTE: Final = _table(
    "UNSPEC DST SRC IIF OIF GATEWAY PRIORITY PREFSRC METRICS MULTIPATH PROTOINFO FLOW CACHEINFO SESSION MP_ALGO TABLE "
    "MARK MFC_STATS VIA NEWDST PREF ENCAP_TYPE ENCAP EXPIRES PAD UID TTL_PROPAGATE IP_PROTO SPORT DPORT NH_ID"
)
_NEIGHBOUR: Final = _table(
    "UNSPEC DST LLADDR CACHEINFO PROBES VLAN PORT VNI IFINDEX MASTER LINK_NETNSID SRC_VNI PROTOCOL NH_ID "
    "FDB_EXT_ATTRS FLAGS_EXT NDM_STATE_MASK NDM_FLAGS_MASK"
)
_RULE: Final = _table(
    "UNSPEC DST SRC IIFNAME GOTO UNUSED2 PRIORITY UNUSED3 UNUSED4 UNUSED5 FWMARK FLOW TUN_ID SUPPRESS_IFGROUP "
    "SUPPRESS_PREFIXLEN TABLE FWMASK OIFNAME PAD L3MDEV UID_RANGE PROTOCOL IP_PROTO SPORT_RANGE DPORT_RANGE"
)

# By the base of the message's type (RTM_NEW…): prefix, names, bytes of the fixed head.
_MESSAGES: Final = {
    16: ("IFLA_", _LINK, 16),
    20: ("IFA_", _ADDRESS, 8),
    24: ("RTA_", _ROUTE, 12),
    28: ("NDA_", _NEIGHBOUR, 12),
    32: ("FRA_", _RULE, 12),
}
_HEADER: Final = 16
_NESTED: Final = 0x8000  # NLA_F_NESTED
_TYPES: Final = 0x3FFF  # NLA_TYPE_MASK
_LINKINFO: Final = 18
_DEPTH: Final = 8  # of nests, beyond which nobody looks


def name_of(message: int, attribute: int) -> str:
    """Give the name of an attribute of a kind of message, or its number.

    Parameters
    ----------
    message : int
        RTM_….
    attribute : int
        Its type, as ``IFLA_MTU`` is 4.
    """
    known = _MESSAGES.get(message & ~3)
    return _name(known[0], known[1], attribute) if known else f"attribute {attribute}"


def path_of(message: bytes, offset: int) -> str:
    """Give the path of the attribute that stands at an offset of a message, as ``IFLA_LINKINFO/IFLA_INFO_KIND``.

    Empty where no attribute begins there, whatever the bytes are.

    Parameters
    ----------
    message : bytes
        One rtnetlink message, its header included.
    offset : int
        Bytes from the message's header, as NLMSGERR_ATTR_OFFS says.
    """
    known = _MESSAGES.get(_u16(message, 4) & ~3) if len(message) >= _HEADER else None
    if known is None:
        return ""
    prefix, names, head = known
    at, end = _HEADER + head, len(message)
    path: list[str] = []
    while len(path) < _DEPTH and at + 4 <= end and at <= offset:
        size, kind = _u16(message, at), _u16(message, at + 2)
        if size < 4 or at + size > end:
            break
        if offset >= at + size:
            at += (size + 3) & ~3
            continue
        path.append(_name(prefix, names, kind & _TYPES))
        if offset == at:
            return "/".join(path)
        # It stands inside this one.
        if (prefix, kind & _TYPES) == ("IFLA_", _LINKINFO):
            prefix, names = "IFLA_INFO_", _INFO
        elif kind & _NESTED or prefix == "IFLA_INFO_":
            prefix, names = "", []
        else:
            break
        at, end = at + 4, at + size
    return ""


def missing_name(message: bytes, attribute: int, nest: int) -> str:
    """Say which attribute a message lacks: of the nest at an offset, or (-1) of the message itself."""
    if nest < 0:
        return f"{name_of(_u16(message, 4), attribute)} is missing"
    inside = path_of(message, nest)
    name = _name("IFLA_INFO_", _INFO, attribute) if inside == "IFLA_LINKINFO" else f"attribute {attribute}"
    return f"{name} is missing in {inside or 'a nest'}"


def _name(prefix: str, names: list[str], attribute: int) -> str:
    return prefix + names[attribute] if attribute < len(names) else f"{prefix}{attribute}"


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], sys.byteorder)

"""What attributes and their values are called: the tables of ``describe``. Each word is iproute2's."""

from __future__ import annotations

SCOPES = {0: "global", 253: "link", 254: "host"}
ROUTE_TYPES = {2: "local", 6: "blackhole", 7: "unreachable", 8: "prohibit", 9: "throw"}
RULE_ACTIONS = {6: "blackhole", 7: "unreachable", 8: "prohibit"}
NEIGHBOUR_STATES = {2: "reachable", 4: "stale", 8: "delay", 16: "probe", 32: "failed", 64: "noarp", 128: "permanent"}
FDB_STATES = {2: "dynamic", 64: "static", 128: "permanent"}

# The number of an attribute: its word, and the form of its value.
# IFLA_BRPORT_…
BRIDGE_PORT = {
    1: ("state", "number"),
    2: ("priority", "number"),
    3: ("cost", "number"),
    4: ("hairpin", "switch"),
    5: ("guard", "switch"),
    6: ("root_block", "switch"),
    7: ("fastleave", "switch"),
    8: ("learning", "switch"),
    9: ("flood", "switch"),
    10: ("proxy_arp", "switch"),
    27: ("mcast_flood", "switch"),
    28: ("mcast_to_unicast", "switch"),
    30: ("bcast_flood", "switch"),
    31: ("group_fwd_mask", "number"),
    32: ("neigh_suppress", "switch"),
    33: ("isolated", "switch"),
}

# IPV4_DEVCONF_…
IPV4_SWITCHES = {
    1: ("forwarding", "number"),
    3: ("proxy_arp", "number"),
    4: ("accept_redirects", "number"),
    6: ("send_redirects", "number"),
    8: ("rp_filter", "number"),
    9: ("accept_source_route", "number"),
    11: ("log_martians", "number"),
    13: ("arp_filter", "number"),
    18: ("arp_announce", "number"),
    19: ("arp_ignore", "number"),
    20: ("promote_secondaries", "number"),
    21: ("arp_accept", "number"),
    22: ("arp_notify", "number"),
    23: ("accept_local", "number"),
    24: ("src_valid_mark", "number"),
    25: ("proxy_arp_pvlan", "number"),
    26: ("route_localnet", "number"),
    31: ("drop_gratuitous_arp", "number"),
    32: ("bc_forwarding", "number"),
}

KINDS = {
    # IFLA_BR_…
    "bridge": {
        1: ("forward_delay", "number"),
        2: ("hello_time", "number"),
        3: ("max_age", "number"),
        4: ("ageing_time", "number"),
        5: ("stp_state", "number"),
        6: ("priority", "number"),
        7: ("vlan_filtering", "number"),
        9: ("group_fwd_mask", "number"),
        23: ("mcast_snooping", "number"),
        25: ("mcast_querier", "number"),
        36: ("nf_call_iptables", "number"),
        37: ("nf_call_ip6tables", "number"),
        38: ("nf_call_arptables", "number"),
        39: ("vlan_default_pvid", "number"),
    },
    # IFLA_VXLAN_…
    "vxlan": {
        1: ("id", "number"),
        2: ("remote", "ip"),
        3: ("dev", "number"),
        4: ("local", "ip"),
        5: ("ttl", "number"),
        6: ("tos", "number"),
        7: ("learning", "switch"),
        8: ("ageing", "number"),
        9: ("maxaddress", "number"),
        11: ("proxy", "switch"),
        12: ("rsc", "switch"),
        13: ("l2miss", "switch"),
        14: ("l3miss", "switch"),
        15: ("dstport", "big"),
        16: ("remote", "ip"),
        17: ("local", "ip"),
        18: ("udpcsum", "switch"),
        25: ("external", "switch"),
    },
    "macvlan": {1: ("mode", "number")},
    "ipvlan": {1: ("mode", "number"), 2: ("flags", "number")},
    "vlan": {1: ("id", "number"), 5: ("protocol", "hex")},
}

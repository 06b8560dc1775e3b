#include "messages.h"

#include <arpa/inet.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

void put_veth(struct batch *b, uint32_t index, int namespace, const uint8_t *mac, const uint8_t *peer_mac,
              uint32_t master, uint32_t group)
{
    char name[IFNAMSIZ];
    size_t info, data, peer;
    struct ifinfomsg *head = begin(b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof *head);
    head->ifi_index = (int)index;
    snprintf(name, sizeof name, "fl%x", index);
    put_text(b, IFLA_IFNAME, name);
    if (mac)
        put(b, IFLA_ADDRESS, mac, 6);
    if (master)
        put_u32(b, IFLA_MASTER, master);
    put_u32(b, IFLA_GROUP, group);
    put_u32(b, IFLA_NUM_TX_QUEUES, 1);
    put_u32(b, IFLA_NUM_RX_QUEUES, 1);
    info = nest(b, IFLA_LINKINFO);
    put(b, IFLA_INFO_KIND, "veth", 4);
    data = nest(b, IFLA_INFO_DATA);
    peer = nest(b, VETH_INFO_PEER);
    head = put_space(b, sizeof *head);
    head->ifi_index = INSIDE_INDEX;
    put_text(b, IFLA_IFNAME, "eth0");
    put(b, IFLA_ADDRESS, peer_mac, 6);
    put_u32(b, IFLA_NUM_TX_QUEUES, 1);
    put_u32(b, IFLA_NUM_RX_QUEUES, 1);
    put_u32(b, IFLA_NET_NS_FD, (uint32_t)namespace);
    unnest(b, peer);
    unnest(b, data);
    unnest(b, info);
    end(b);
}

void put_bridge(struct batch *b, uint32_t index, const uint8_t *mac, int snooping)
{
    size_t info, data;
    uint8_t snoop = (uint8_t)snooping;
    struct ifinfomsg *head = begin(b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof *head);
    head->ifi_index = (int)index;
    put_text(b, IFLA_IFNAME, "floor0");
    put(b, IFLA_ADDRESS, mac, 6);
    info = nest(b, IFLA_LINKINFO);
    put(b, IFLA_INFO_KIND, "bridge", 6);
    data = nest(b, IFLA_INFO_DATA);
    put(b, IFLA_BR_MCAST_SNOOPING, &snoop, 1);
    unnest(b, data);
    unnest(b, info);
    end(b);
}

void put_number(struct batch *b, int namespace, int number)
{
    struct rtgenmsg *head = begin(b, RTM_NEWNSID, 0, sizeof *head);
    head->rtgen_family = AF_UNSPEC;
    put_u32(b, NETNSA_FD, (uint32_t)namespace);
    put_u32(b, NETNSA_NSID, (uint32_t)number);
    end(b);
}

void put_up(struct batch *b, uint32_t index)
{
    struct ifinfomsg *head = begin(b, RTM_SETLINK, 0, sizeof *head);
    head->ifi_index = (int)index;
    head->ifi_flags = head->ifi_change = IFF_UP;
    end(b);
}

void put_no_link_local(struct batch *b, uint32_t index, uint32_t group)
{
    size_t spec, inet6;
    uint8_t none = IN6_ADDR_GEN_MODE_NONE;
    struct ifinfomsg *head = begin(b, group ? RTM_NEWLINK : RTM_SETLINK, 0, sizeof *head);
    head->ifi_index = (int)index;
    if (group)
        put_u32(b, IFLA_GROUP, group);
    spec = nest(b, IFLA_AF_SPEC);
    inet6 = nest(b, AF_INET6);
    put(b, IFLA_INET6_ADDR_GEN_MODE, &none, 1);
    unnest(b, inet6);
    unnest(b, spec);
    end(b);
}

void put_forwarding(struct batch *b, uint32_t group)
{
    size_t spec, inet, conf;
    struct ifinfomsg *head = begin(b, RTM_NEWLINK, 0, sizeof *head);
    (void)head;
    put_u32(b, IFLA_GROUP, group);
    spec = nest(b, IFLA_AF_SPEC);
    inet = nest(b, AF_INET);
    conf = nest(b, IFLA_INET_CONF);
    put_u32(b, IPV4_DEVCONF_FORWARDING, 1);
    unnest(b, conf);
    unnest(b, inet);
    unnest(b, spec);
    end(b);
}

void put_address(struct batch *b, uint32_t index, uint32_t ip, uint8_t prefix)
{
    struct ifaddrmsg *head = begin(b, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof *head);
    head->ifa_family = AF_INET;
    head->ifa_prefixlen = prefix;
    head->ifa_index = index;
    put(b, IFA_LOCAL, &ip, 4);
    put(b, IFA_ADDRESS, &ip, 4);
    if (prefix < 31)
        put_u32(b, IFA_BROADCAST, ip | htonl(0xFFFFFFFFU >> prefix));
    end(b);
}

void put_neighbour(struct batch *b, uint32_t index, uint32_t ip, const uint8_t *mac)
{
    uint16_t flags = mac ? NLM_F_CREATE | NLM_F_EXCL : 0;
    struct ndmsg *head = begin(b, mac ? RTM_NEWNEIGH : RTM_DELNEIGH, flags, sizeof *head);
    head->ndm_family = AF_INET;
    head->ndm_ifindex = (int)index;
    head->ndm_state = mac ? NUD_PERMANENT : 0;
    put(b, NDA_DST, &ip, 4);
    if (mac)
        put(b, NDA_LLADDR, mac, 6);
    end(b);
}

void put_route(struct batch *b, uint32_t index, uint32_t to, uint8_t prefix, uint32_t gateway, uint32_t source,
               int on_link)
{
    struct rtmsg *head = begin(b, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof *head);
    head->rtm_family = AF_INET;
    head->rtm_dst_len = prefix;
    head->rtm_table = RT_TABLE_MAIN;
    head->rtm_protocol = RTPROT_STATIC;
    head->rtm_type = RTN_UNICAST;
    head->rtm_scope = gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
    head->rtm_flags = on_link ? RTNH_F_ONLINK : 0;
    if (prefix)
        put(b, RTA_DST, &to, 4);
    if (gateway)
        put(b, RTA_GATEWAY, &gateway, 4);
    if (source)
        put(b, RTA_PREFSRC, &source, 4);
    put_u32(b, RTA_OIF, index);
    end(b);
}

void put_forget_multicast(struct batch *b, uint32_t index)
{
    uint8_t to[16] = {0xff};
    struct rtmsg *head = begin(b, RTM_DELROUTE, 0, sizeof *head);
    head->rtm_family = AF_INET6;
    head->rtm_dst_len = 8;
    head->rtm_table = RT_TABLE_LOCAL;
    head->rtm_scope = RT_SCOPE_NOWHERE;
    put(b, RTA_DST, to, 16);
    put_u32(b, RTA_OIF, index);
    end(b);
}

void put_delete(struct batch *b, uint32_t index, uint32_t group)
{
    struct ifinfomsg *head = begin(b, RTM_DELLINK, 0, sizeof *head);
    head->ifi_index = (int)index;
    if (group)
        put_u32(b, IFLA_GROUP, group);
    end(b);
}

void put_look(struct batch *b, uint32_t index)
{
    struct ifinfomsg *head = begin(b, RTM_GETLINK, 0, sizeof *head);
    head->ifi_index = (int)index;
    put_u32(b, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    end(b);
}

/* The messages that the floor sends: each adds one to a batch, all of it. */
#ifndef FLOOR_MESSAGES_H
#define FLOOR_MESSAGES_H

#include "batch.h"

enum {
    INSIDE_INDEX = 64, /* of eth0 */
};

/* A pair, its peer born in the namespace as eth0; no `mac`: the kernel draws that of the host end. */
void put_veth(struct batch *b, uint32_t index, int namespace, const uint8_t *mac, const uint8_t *peer_mac,
              uint32_t master, uint32_t group);

void put_bridge(struct batch *b, uint32_t index, const uint8_t *mac, int snooping);

/* Give a namespace its number on the host's side. */
void put_number(struct batch *b, int namespace, int number);

/* Bring up one link by its index: a whole group in one message costs more, as each is also told of a change. */
void put_up(struct batch *b, uint32_t index);

/* IN6_ADDR_GEN_MODE_NONE: no link-local address when the link comes up; a group of links, or without one a link. */
void put_no_link_local(struct batch *b, uint32_t index, uint32_t group);

/* Have IPv4 forwarded that comes in by the links of a group. */
void put_forwarding(struct batch *b, uint32_t group);

/* Addresses are in network byte order. */
void put_address(struct batch *b, uint32_t index, uint32_t ip, uint8_t prefix);

/* A permanent entry; without a `mac` it is deleted. */
void put_neighbour(struct batch *b, uint32_t index, uint32_t ip, const uint8_t *mac);

void put_route(struct batch *b, uint32_t index, uint32_t to, uint8_t prefix, uint32_t gateway, uint32_t source,
               int on_link);

/* IPv6's route for ff00::/8 over a host end: all of them are walked over whenever a link comes up or goes. */
void put_forget_multicast(struct batch *b, uint32_t index);

/* A group of links, or without one a link. */
void put_delete(struct batch *b, uint32_t index, uint32_t group);

/* Look a link up. */
void put_look(struct batch *b, uint32_t index);

#endif

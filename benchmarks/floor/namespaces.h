/* Namespaces of endpoints, each bound to a file: made by threads of their own beside the links, or by the only one. */
#ifndef FLOOR_NAMESPACES_H
#define FLOOR_NAMESPACES_H

#include <stdint.h>

enum {
    MAX_MAKERS = 8,
};

#define DIRECTORY "/run/floor"

struct endpoint {
    int namespace, socket; /* a handle and a netlink socket inside; -1 while closed */
    uint32_t index, group, ip;
    uint8_t mac[6];
    char path[64];
};

/* A handle of the namespace that the thread is in. */
int this_namespace(void);

/* Make some on this thread, which comes back to `home`. */
void make_namespaces(struct endpoint *first, int count, int home);

/* Begin to make many on `makers` threads, so that at most `keep` are open at a time; and wait for the threads' end. */
void start_makers(struct endpoint *first, int count, int makers, int keep);
void join_makers(void);

/* Wait until one is made. */
void wait_namespace(struct endpoint *e);

/* Close handles and sockets: others may be made. */
void let_go(struct endpoint *first, int count);

/* Unbind them from their files: with their last user they die. */
void drop(struct endpoint *first, int count);

#endif

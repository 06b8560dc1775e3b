#define _GNU_SOURCE
#include "endpoints.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "messages.h"

enum {
    HOST_BUFFER = 1 << 20,
    FIRST_HOST_INDEX = 1 << 20,
    FIRST_GROUP = 1 << 20,
};

struct wishes want = {.count = 1000, .chunk = 64, .keep = 256, .makers = 1, .burst = 100};

static struct batch host_batch, inner_batch;
static int host, home; /* the netlink socket and the handle of the host's side */
static uint32_t master, gateway;
static uint32_t next_index = FIRST_HOST_INDEX, next_group = FIRST_GROUP;
static uint8_t gateway_mac[6] = {0x02, 0x42, 10, 77, 0, 1};

double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---------------------------------------------------------------------------------------------- setup */
void enter_private(void)
{
    struct batch *b = &host_batch;
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0)
        die("unshare: %s; run as root", strerror(errno));
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount("tmpfs", "/run", "tmpfs", 0, NULL) < 0 ||
        mkdir(DIRECTORY, 0700) < 0)
        die("mounts: %s", strerror(errno));
    home = this_namespace();
    host = open_route(HOST_BUFFER);
    gateway = htonl(0x0A4D0001); /* 10.77.0.1 */
    put_up(b, 1);
    if (want.routed) {
        put_address(b, 1, gateway, 32);
    } else {
        master = ++next_index;
        put_bridge(b, master, gateway_mac, want.snoop);
        put_no_link_local(b, master, 0);
        put_address(b, master, gateway, 16);
        put_up(b, master);
    }
    execute("make the network", host, b);
}

struct endpoint *plan(int count)
{
    struct endpoint *all = calloc((size_t)count, sizeof *all);
    if (!all)
        die("no memory");
    for (int i = 0; i < count; i++) {
        struct endpoint *e = &all[i];
        uint32_t ip = 0x0A4D0002U + (uint32_t)i;
        uint8_t mac[6] = {0x02, 0x42, (uint8_t)(ip >> 24), (uint8_t)(ip >> 16), (uint8_t)(ip >> 8), (uint8_t)ip};
        e->namespace = e->socket = -1;
        e->ip = htonl(ip);
        memcpy(e->mac, mac, 6);
        snprintf(e->path, sizeof e->path, DIRECTORY "/%d", i);
    }
    return all;
}

/* ---------------------------------------------------------------------------------------- up and down */
static void raise_group(struct endpoint *first, int count)
{
    uint32_t group = first->group;
    if (want.routed)
        put_forwarding(&host_batch, group);
    put_no_link_local(&host_batch, 0, group);
    for (int i = 0; i < count; i++)
        put_up(&host_batch, first[i].index);
    execute("bring the host ends up", host, &host_batch);
    for (int i = 0; i < count; i++)
        put_forget_multicast(&host_batch, first[i].index);
    (void)try_execute(host, &host_batch); /* without IPv6 there is none */
}

static void bring_up(struct endpoint *first, int count)
{
    uint32_t group = ++next_group;
    if (!want.makers)
        make_namespaces(first, count, home);
    for (int i = 0; i < count; i++) {
        struct endpoint *e = &first[i];
        wait_namespace(e);
        e->index = ++next_index;
        e->group = group;
        if (!want.ascend)
            put_number(&host_batch, e->namespace, (1 << 20) - (int)(next_index - FIRST_HOST_INDEX));
        put_veth(&host_batch, e->index, e->namespace, want.routed ? gateway_mac : NULL, e->mac, master, group);
    }
    execute("make veth pairs", host, &host_batch);
    if (want.host_first)
        raise_group(first, count);
    for (int i = 0; i < count; i++) {
        struct endpoint *e = &first[i];
        struct batch *b = &inner_batch;
        put_up(b, 1);
        put_no_link_local(b, INSIDE_INDEX, 0);
        put_up(b, INSIDE_INDEX);
        put_address(b, INSIDE_INDEX, e->ip, want.routed ? 32 : 16);
        put_neighbour(b, INSIDE_INDEX, gateway, gateway_mac);
        if (want.routed)
            put_route(b, INSIDE_INDEX, htonl(0x0A4D0000), 16, gateway, 0, 1);
        put_route(b, INSIDE_INDEX, 0, 0, gateway, 0, want.routed);
        execute("set a namespace up", e->socket, b);
    }
    if (!want.host_first)
        raise_group(first, count);
    for (int i = 0; i < count; i++) {
        struct endpoint *e = &first[i];
        put_neighbour(&host_batch, want.routed ? e->index : master, e->ip, e->mac);
        if (want.routed)
            put_route(&host_batch, e->index, e->ip, 32, 0, gateway, 0);
    }
    execute("host routes and neighbours", host, &host_batch);
    let_go(first, count);
}

static void delete_links(struct endpoint *first, int count)
{
    if (!want.routed) {
        for (int i = 0; i < count; i++)
            put_neighbour(&host_batch, master, first[i].ip, NULL);
    }
    if (!want.by_netns)
        put_delete(&host_batch, 0, first->group);
    execute("delete links", host, &host_batch);
}

static int is_there(uint32_t index)
{
    int code;
    put_look(&host_batch, index);
    code = try_execute(host, &host_batch);
    if (code && code != ENODEV)
        die("look a link up: %s", strerror(code));
    return code == 0;
}

static void wait_gone(uint32_t index)
{
    double limit = now() + 60;
    while (is_there(index)) {
        if (now() > limit)
            die("link %u does not go", index);
        usleep(500);
    }
}

/* Dead namespaces are cleaned up in their order, by one kernel thread: when the host end of one that was dropped
   last is gone, the devices of all dropped before it are gone too. */
static struct endpoint sentinel = {.namespace = -1, .socket = -1, .path = DIRECTORY "/sentinel", .mac = {2, 1}};

static void raise_sentinel(void)
{
    make_namespaces(&sentinel, 1, home);
    sentinel.index = ++next_index;
    put_veth(&host_batch, sentinel.index, sentinel.namespace, NULL, sentinel.mac, 0, ++next_group);
    execute("make the sentinel", host, &host_batch);
    let_go(&sentinel, 1);
}

double up(struct endpoint *all, int count, double *curve)
{
    double start = now();
    start_makers(all, count, want.makers, want.keep);
    for (int at = 0, chunk = 0; at < count; at += want.chunk) {
        bring_up(&all[at], count - at < want.chunk ? count - at : want.chunk);
        if (curve)
            curve[chunk++] = now() - start;
    }
    join_makers();
    return now() - start;
}

double down(struct endpoint *all, int count, double *drained)
{
    double start, gone;
    if (drained)
        raise_sentinel();
    start = now();
    for (int at = 0; at < count; at += want.chunk) {
        int some = count - at < want.chunk ? count - at : want.chunk;
        delete_links(&all[at], some);
    }
    drop(all, count);
    if (want.by_netns) {
        for (int i = 0; i < count; i++)
            wait_gone(all[i].index);
    }
    gone = now() - start;
    if (drained) {
        drop(&sentinel, 1);
        wait_gone(sentinel.index);
        *drained = now() - start;
    }
    return gone;
}

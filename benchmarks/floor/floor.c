/*
 * The kernel floor of endpoint bring-up and teardown: what the kernel itself takes, asked well.
 *
 *     gcc -O2 -Wall -Wextra -pthread -o floor floor.c
 *     ./floor bridge 1000            N endpoints up, then down; one JSON document on stdout
 *     ./floor routed 1000 --single   everything on one thread
 *     ./floor bridge --soak 60       up and down in bursts of 100, for 60 seconds
 *
 * Its message list is fixed and its own; it shares no code with the package. An endpoint is
 *
 *     namespace    unshare(CLONE_NEWNET), a handle, a netlink socket inside, a file bound to it     second thread
 *     host         RTM_NEWNSID descending: the kernel finds the newest namespace first              n of
 *     host         RTM_NEWLINK veth: peer born inside, named eth0, MAC, one queue, index, group, master     n of
 *     namespace    lo up, eth0 no link-local address, eth0 up, address, permanent neighbour of the gateway,
 *                  routed: the prefix by the gateway; default route                                 one sendmsg
 *     host         RTM_NEWLINK by group: routed: forwarding; no link-local address; then each up     a chunk
 *     host         RTM_NEWNEIGH permanent, on the bridge or (routed) the host end; routed: RTM_NEWROUTE     n of
 *
 * and down is RTM_DELNEIGH for each (bridge), RTM_DELLINK by group for each chunk, umount and unlink of the files.
 * With --down netns the links are left to die with their namespaces. The bridge does not snoop multicast.
 * Each flag below undoes one of what makes it fast: --host-first, --ascend (numbers by the kernel), --snoop.
 *
 * It runs as root in a network and mount namespace of its own; the machine's own network is never touched.
 * Any refusal of the kernel ends it with a message: a floor that skips work is none.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <linux/net_namespace.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    HOST_BUFFER = 1 << 20,
    FIRST_HOST_INDEX = 1 << 20,
    INSIDE_INDEX = 64,
    FIRST_GROUP = 1 << 20,
    MAX_ENDPOINTS = 60000,
    MAX_MAKERS = 8,
};

#define DIRECTORY "/run/floor"
#define THREAD_NS "/proc/thread-self/ns/net"

static void die(const char *format, ...)
{
    va_list rest;
    va_start(rest, format);
    fprintf(stderr, "floor: ");
    vfprintf(stderr, format, rest);
    fprintf(stderr, "\n");
    va_end(rest);
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ------------------------------------------------------------------------------------------ messages */
struct batch {
    uint8_t data[256 * 1024];
    size_t used;
    size_t last; /* where the last message begins */
    uint32_t count;
};

static void *put_space(struct batch *b, size_t size)
{
    void *place = b->data + b->used;
    size_t whole = NLMSG_ALIGN(size);
    if (b->used + whole > sizeof b->data)
        die("a batch grew beyond its buffer");
    memset(place, 0, whole);
    b->used += whole;
    return place;
}

static void *begin(struct batch *b, uint16_t type, uint16_t flags, size_t head)
{
    struct nlmsghdr *header;
    b->last = b->used;
    header = put_space(b, sizeof *header);
    header->nlmsg_type = type;
    header->nlmsg_flags = NLM_F_REQUEST | flags;
    b->count++;
    return put_space(b, head);
}

static void end(struct batch *b)
{
    struct nlmsghdr *header = (void *)(b->data + b->last);
    header->nlmsg_len = (uint32_t)(b->used - b->last);
}

static void put(struct batch *b, uint16_t type, const void *value, size_t size)
{
    struct rtattr *a = put_space(b, RTA_LENGTH(size));
    a->rta_type = type;
    a->rta_len = (uint16_t)RTA_LENGTH(size);
    memcpy(RTA_DATA(a), value, size);
}

static void put_u32(struct batch *b, uint16_t type, uint32_t value) { put(b, type, &value, sizeof value); }
static void put_text(struct batch *b, uint16_t type, const char *text) { put(b, type, text, strlen(text) + 1); }

static size_t nest(struct batch *b, uint16_t type)
{
    size_t at = b->used;
    struct rtattr *a = put_space(b, sizeof *a);
    a->rta_type = type | NLA_F_NESTED;
    return at;
}

static void unnest(struct batch *b, size_t at)
{
    struct rtattr *a = (void *)(b->data + at);
    a->rta_len = (uint16_t)(b->used - at);
}

static int open_route(int buffer)
{
    int on = 1;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        die("socket: %s", strerror(errno));
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
    setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
    if (buffer) {
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
    }
    return fd;
}

/* Send a batch and read what the kernel says of it: 0, or the errno of the first refusal. */
static int try_execute(int fd, struct batch *b)
{
    static __thread uint8_t answer[16384];
    size_t at = 0;
    uint32_t sequence = 0;
    int refused = 0;
    if (!b->count)
        return 0;
    while (at < b->used) {
        struct nlmsghdr *header = (void *)(b->data + at);
        header->nlmsg_seq = ++sequence;
        at += NLMSG_ALIGN(header->nlmsg_len);
    }
    ((struct nlmsghdr *)(b->data + b->last))->nlmsg_flags |= NLM_F_ACK;
    if (send(fd, b->data, b->used, 0) < 0)
        die("send %zu bytes: %s", b->used, strerror(errno));
    for (;;) {
        ssize_t got = recv(fd, answer, sizeof answer, 0);
        struct nlmsghdr *header = (void *)answer;
        if (got < 0)
            die("receive: %s", strerror(errno));
        for (; NLMSG_OK(header, (uint32_t)got); header = NLMSG_NEXT(header, got)) {
            if (header->nlmsg_type != NLMSG_ERROR)
                continue;
            int code = -((struct nlmsgerr *)NLMSG_DATA(header))->error;
            if (code && !refused)
                refused = code;
            if (header->nlmsg_seq == sequence) {
                b->used = b->count = 0;
                return refused;
            }
        }
    }
}

static void execute(const char *what, int fd, struct batch *b)
{
    int code = try_execute(fd, b);
    if (code)
        die("%s: %s", what, strerror(code));
}

static void put_veth(struct batch *b, uint32_t index, int namespace, const uint8_t *mac, const uint8_t *peer_mac,
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

/* Give a namespace its number on the host's side. */
static void put_number(struct batch *b, int namespace, int number)
{
    struct rtgenmsg *head = begin(b, RTM_NEWNSID, 0, sizeof *head);
    head->rtgen_family = AF_UNSPEC;
    put_u32(b, NETNSA_FD, (uint32_t)namespace);
    put_u32(b, NETNSA_NSID, (uint32_t)number);
    end(b);
}

/* Bring up one link by its index: a whole group in one message costs more, as each is also told of a change. */
static void put_up(struct batch *b, uint32_t index)
{
    struct ifinfomsg *head = begin(b, RTM_SETLINK, 0, sizeof *head);
    head->ifi_index = (int)index;
    head->ifi_flags = head->ifi_change = IFF_UP;
    end(b);
}

/* IN6_ADDR_GEN_MODE_NONE: no link-local address when the link comes up. */
static void put_no_link_local(struct batch *b, uint32_t index, uint32_t group)
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

/* Have IPv4 forwarded that comes in by the links of a group. */
static void put_forwarding(struct batch *b, uint32_t group)
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

static void put_address(struct batch *b, uint32_t index, uint32_t ip, uint8_t prefix)
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

static void put_neighbour(struct batch *b, uint32_t index, uint32_t ip, const uint8_t *mac)
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

static void put_route(struct batch *b, uint32_t index, uint32_t to, uint8_t prefix, uint32_t gateway, uint32_t source,
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

/* IPv6's route for ff00::/8 over a host end: all of them are walked over whenever a link comes up or goes. */
static void put_forget_multicast(struct batch *b, uint32_t index)
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

static void put_delete(struct batch *b, uint32_t index, uint32_t group)
{
    struct ifinfomsg *head = begin(b, RTM_DELLINK, 0, sizeof *head);
    head->ifi_index = (int)index;
    if (group)
        put_u32(b, IFLA_GROUP, group);
    end(b);
}

/* ------------------------------------------------------------------------------------ what is wanted */
struct endpoint {
    int namespace, socket; /* -1 while closed */
    uint32_t index, group, ip;
    uint8_t mac[6];
    char path[64];
};

static struct {
    int routed, count, chunk, keep, makers, by_netns, host_first, ascend, snoop;
    double soak;
    int burst;
} want = {.count = 1000, .chunk = 64, .keep = 256, .makers = 1, .burst = 100};

static struct endpoint *endpoints;
static struct batch host_batch, inner_batch;
static int host, home; /* the netlink socket and the handle of the host's side */
static uint32_t master, gateway;
static uint32_t next_index = FIRST_HOST_INDEX, next_group = FIRST_GROUP;
static uint8_t gateway_mac[6] = {0x02, 0x42, 10, 77, 0, 1};

/* ---------------------------------------------------------------------------------------- namespaces */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t told = PTHREAD_COND_INITIALIZER;
static int kept; /* namespaces that are open */
static volatile int wanted_total;

static void make_namespace(struct endpoint *e)
{
    int file, handle, route;
    if (unshare(CLONE_NEWNET) < 0)
        die("unshare: %s", strerror(errno));
    handle = open(THREAD_NS, O_RDONLY | O_CLOEXEC);
    route = open_route(0);
    file = open(e->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0);
    if (handle < 0 || file < 0)
        die("%s: %s", e->path, strerror(errno));
    close(file);
    if (mount(THREAD_NS, e->path, NULL, MS_BIND, NULL) < 0)
        die("bind %s: %s", e->path, strerror(errno));
    e->socket = route;
    __atomic_store_n(&e->namespace, handle, __ATOMIC_RELEASE);
}

struct share {
    int first, step;
};

static void *maker(void *argument)
{
    struct share *mine = argument;
    for (int i = mine->first; i < wanted_total; i += mine->step) {
        pthread_mutex_lock(&lock);
        while (kept >= want.keep)
            pthread_cond_wait(&told, &lock);
        kept++;
        pthread_mutex_unlock(&lock);
        make_namespace(&endpoints[i]);
        pthread_mutex_lock(&lock);
        pthread_cond_broadcast(&told);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static void wait_namespace(struct endpoint *e)
{
    if (__atomic_load_n(&e->namespace, __ATOMIC_ACQUIRE) >= 0)
        return;
    pthread_mutex_lock(&lock);
    while (__atomic_load_n(&e->namespace, __ATOMIC_ACQUIRE) < 0)
        pthread_cond_wait(&told, &lock);
    pthread_mutex_unlock(&lock);
}

static void let_go(struct endpoint *first, int count)
{
    for (int i = 0; i < count; i++) {
        close(first[i].socket);
        close(first[i].namespace);
        first[i].socket = first[i].namespace = -1;
    }
    pthread_mutex_lock(&lock);
    kept -= count;
    pthread_cond_broadcast(&told);
    pthread_mutex_unlock(&lock);
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
    if (!want.makers) {
        for (int i = 0; i < count; i++)
            make_namespace(&first[i]);
        if (setns(home, CLONE_NEWNET) < 0)
            die("setns: %s", strerror(errno));
        kept += count;
    }
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

static void drop(struct endpoint *first, int count)
{
    for (int i = 0; i < count; i++) {
        if (umount2(first[i].path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 || unlink(first[i].path) < 0)
            die("drop %s: %s", first[i].path, strerror(errno));
    }
}

static int is_there(uint32_t index)
{
    struct ifinfomsg *head = begin(&host_batch, RTM_GETLINK, 0, sizeof *head);
    int code;
    head->ifi_index = (int)index;
    put_u32(&host_batch, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    end(&host_batch);
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
    make_namespace(&sentinel);
    if (setns(home, CLONE_NEWNET) < 0)
        die("setns: %s", strerror(errno));
    sentinel.index = ++next_index;
    put_veth(&host_batch, sentinel.index, sentinel.namespace, NULL, sentinel.mac, 0, ++next_group);
    execute("make the sentinel", host, &host_batch);
    close(sentinel.socket);
    close(sentinel.namespace);
    sentinel.namespace = -1;
}

/* All up: seconds; `curve` takes the time after every chunk. */
static double up(int count, double *curve)
{
    pthread_t threads[MAX_MAKERS];
    struct share shares[MAX_MAKERS];
    double start = now();
    wanted_total = count;
    for (int i = 0; i < want.makers; i++) {
        shares[i] = (struct share){i, want.makers};
        if (pthread_create(&threads[i], NULL, maker, &shares[i]))
            die("no thread");
    }
    for (int at = 0, chunk = 0; at < count; at += want.chunk) {
        bring_up(&endpoints[at], count - at < want.chunk ? count - at : want.chunk);
        if (curve)
            curve[chunk++] = now() - start;
    }
    for (int i = 0; i < want.makers; i++)
        pthread_join(threads[i], NULL);
    return now() - start;
}

/* All down: seconds until no host link and no path is left; `drained`: until the namespaces are cleaned up too. */
static double down(int count, double *drained)
{
    double start, gone;
    if (drained)
        raise_sentinel();
    start = now();
    for (int at = 0; at < count; at += want.chunk) {
        int some = count - at < want.chunk ? count - at : want.chunk;
        delete_links(&endpoints[at], some);
    }
    drop(endpoints, count);
    if (want.by_netns) {
        for (int i = 0; i < count; i++)
            wait_gone(endpoints[i].index);
    }
    gone = now() - start;
    if (drained) {
        drop(&sentinel, 1);
        wait_gone(sentinel.index);
        *drained = now() - start;
    }
    return gone;
}

/* ---------------------------------------------------------------------------------------------- setup */
static void enter_private(void)
{
    struct batch *b = &host_batch;
    struct ifinfomsg *head;
    uint8_t snooping = (uint8_t)want.snoop;
    size_t info, data;
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0)
        die("unshare: %s; run as root", strerror(errno));
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount("tmpfs", "/run", "tmpfs", 0, NULL) < 0 ||
        mkdir(DIRECTORY, 0700) < 0)
        die("mounts: %s", strerror(errno));
    home = open(THREAD_NS, O_RDONLY | O_CLOEXEC);
    host = open_route(HOST_BUFFER);
    gateway = htonl(0x0A4D0001); /* 10.77.0.1 */
    put_up(b, 1);
    if (want.routed) {
        put_address(b, 1, gateway, 32);
    } else {
        master = ++next_index;
        head = begin(b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof *head);
        head->ifi_index = (int)master;
        put_text(b, IFLA_IFNAME, "floor0");
        put(b, IFLA_ADDRESS, gateway_mac, 6);
        info = nest(b, IFLA_LINKINFO);
        put(b, IFLA_INFO_KIND, "bridge", 6);
        data = nest(b, IFLA_INFO_DATA);
        put(b, IFLA_BR_MCAST_SNOOPING, &snooping, 1);
        unnest(b, data);
        unnest(b, info);
        end(b);
        put_no_link_local(b, master, 0);
        put_address(b, master, gateway, 16);
        put_up(b, master);
    }
    execute("make the network", host, b);
}

static int number(const char *text, int least, int most)
{
    char *rest;
    long value = strtol(text, &rest, 10);
    if (!*text || *rest || value < least || value > most)
        die("%s is not a number from %d to %d", text, least, most);
    return (int)value;
}

static void read_arguments(int argc, char **argv)
{
    if (argc < 2 || (strcmp(argv[1], "bridge") && strcmp(argv[1], "routed")))
        die("usage: floor bridge|routed [N] [--single] [--makers N] [--chunk N] [--down group|netns] "
            "[--soak SECONDS] [--burst N] [--host-first] [--ascend] [--snoop]");
    want.routed = !strcmp(argv[1], "routed");
    for (int i = 2; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(argv[i], "--single"))
            want.makers = 0;
        else if (!strcmp(argv[i], "--host-first"))
            want.host_first = 1;
        else if (!strcmp(argv[i], "--ascend"))
            want.ascend = 1;
        else if (!strcmp(argv[i], "--snoop"))
            want.snoop = 1;
        else if (!strcmp(argv[i], "--makers"))
            want.makers = number(next, 0, MAX_MAKERS), i++;
        else if (!strcmp(argv[i], "--chunk"))
            want.chunk = number(next, 1, 512), i++;
        else if (!strcmp(argv[i], "--soak"))
            want.soak = number(next, 1, 86400), i++;
        else if (!strcmp(argv[i], "--burst"))
            want.burst = number(next, 1, 4000), i++;
        else if (!strcmp(argv[i], "--down") && (!strcmp(next, "group") || !strcmp(next, "netns")))
            want.by_netns = !strcmp(next, "netns"), i++;
        else
            want.count = number(argv[i], 1, MAX_ENDPOINTS);
    }
    if (want.soak)
        want.count = want.burst;
}

int main(int argc, char **argv)
{
    double seconds, gone, drained;
    double *curve;
    read_arguments(argc, argv);
    endpoints = calloc((size_t)want.count, sizeof *endpoints);
    curve = calloc((size_t)want.count, sizeof *curve);
    if (!endpoints || !curve)
        die("no memory");
    enter_private();
    for (int i = 0; i < want.count; i++) {
        struct endpoint *e = &endpoints[i];
        uint32_t ip = 0x0A4D0002U + (uint32_t)i;
        uint8_t mac[6] = {0x02, 0x42, (uint8_t)(ip >> 24), (uint8_t)(ip >> 16), (uint8_t)(ip >> 8), (uint8_t)ip};
        e->namespace = e->socket = -1;
        e->ip = htonl(ip);
        memcpy(e->mac, mac, 6);
        snprintf(e->path, sizeof e->path, DIRECTORY "/%d", i);
    }
    printf("{\"mode\": \"%s\", \"makers\": %d, \"chunk\": %d, \"teardown\": \"%s\", ", want.routed ? "routed" : "bridge",
           want.makers, want.chunk, want.by_netns ? "netns" : "group");
    if (want.soak) {
        double start = now();
        long done = 0;
        do {
            up(want.count, NULL);
            down(want.count, NULL);
            done += want.count;
        } while ((seconds = now() - start) < want.soak);
        printf("\"burst\": %d, \"endpoints\": %ld, \"seconds\": %.6f, \"per_second\": %.1f}\n", want.burst, done, seconds,
               (double)done / seconds);
        return 0;
    }
    seconds = up(want.count, curve);
    gone = down(want.count, &drained);
    printf("\"endpoints\": %d, \"up\": %.6f, \"down\": %.6f, \"drained\": %.6f, \"curve\": [", want.count, seconds, gone,
           drained);
    for (int at = 0, chunk = 0; at < want.count; at += want.chunk) {
        int reached = at + want.chunk < want.count ? at + want.chunk : want.count;
        printf("%s[%d, %.6f]", at ? ", " : "", reached, curve[chunk++]);
    }
    printf("]}\n");
    return 0;
}

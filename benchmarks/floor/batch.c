#include "batch.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

void die(const char *format, ...)
{
    va_list rest;
    va_start(rest, format);
    fprintf(stderr, "floor: ");
    vfprintf(stderr, format, rest);
    fprintf(stderr, "\n");
    va_end(rest);
    exit(1);
}

void *put_space(struct batch *b, size_t size)
{
    void *place = b->data + b->used;
    size_t whole = NLMSG_ALIGN(size);
    if (b->used + whole > sizeof b->data)
        die("a batch grew beyond its buffer");
    memset(place, 0, whole);
    b->used += whole;
    return place;
}

void *begin(struct batch *b, uint16_t type, uint16_t flags, size_t head)
{
    struct nlmsghdr *header;
    b->last = b->used;
    header = put_space(b, sizeof *header);
    header->nlmsg_type = type;
    header->nlmsg_flags = NLM_F_REQUEST | flags;
    b->count++;
    return put_space(b, head);
}

void end(struct batch *b)
{
    struct nlmsghdr *header = (void *)(b->data + b->last);
    header->nlmsg_len = (uint32_t)(b->used - b->last);
}

void put(struct batch *b, uint16_t type, const void *value, size_t size)
{
    struct rtattr *a = put_space(b, RTA_LENGTH(size));
    a->rta_type = type;
    a->rta_len = (uint16_t)RTA_LENGTH(size);
    memcpy(RTA_DATA(a), value, size);
}

void put_u32(struct batch *b, uint16_t type, uint32_t value) { put(b, type, &value, sizeof value); }
void put_text(struct batch *b, uint16_t type, const char *text) { put(b, type, text, strlen(text) + 1); }

size_t nest(struct batch *b, uint16_t type)
{
    size_t at = b->used;
    struct rtattr *a = put_space(b, sizeof *a);
    a->rta_type = type | NLA_F_NESTED;
    return at;
}

void unnest(struct batch *b, size_t at)
{
    struct rtattr *a = (void *)(b->data + at);
    a->rta_len = (uint16_t)(b->used - at);
}

int open_route(int buffer)
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

int try_execute(int fd, struct batch *b)
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

void execute(const char *what, int fd, struct batch *b)
{
    int code = try_execute(fd, b);
    if (code)
        die("%s: %s", what, strerror(code));
}

/*
 * The kernel floor of endpoint bring-up and teardown: what the kernel itself takes, asked well.
 *
 *     gcc -O2 -Wall -Wextra -pthread -o floor *.c
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "endpoints.h"

enum {
    MAX_ENDPOINTS = 60000,
};

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
    struct endpoint *all;
    read_arguments(argc, argv);
    all = plan(want.count);
    curve = calloc((size_t)want.count, sizeof *curve);
    if (!curve)
        die("no memory");
    enter_private();
    printf("{\"mode\": \"%s\", \"makers\": %d, \"chunk\": %d, \"teardown\": \"%s\", ", want.routed ? "routed" : "bridge",
           want.makers, want.chunk, want.by_netns ? "netns" : "group");
    if (want.soak) {
        double start = now();
        long done = 0;
        do {
            up(all, want.count, NULL);
            down(all, want.count, NULL);
            done += want.count;
        } while ((seconds = now() - start) < want.soak);
        printf("\"burst\": %d, \"endpoints\": %ld, \"seconds\": %.6f, \"per_second\": %.1f}\n", want.burst, done, seconds,
               (double)done / seconds);
        return 0;
    }
    seconds = up(all, want.count, curve);
    gone = down(all, want.count, &drained);
    printf("\"endpoints\": %d, \"up\": %.6f, \"down\": %.6f, \"drained\": %.6f, \"curve\": [", want.count, seconds, gone,
           drained);
    for (int at = 0, chunk = 0; at < want.count; at += want.chunk) {
        int reached = at + want.chunk < want.count ? at + want.chunk : want.count;
        printf("%s[%d, %.6f]", at ? ", " : "", reached, curve[chunk++]);
    }
    printf("]}\n");
    return 0;
}

/* Endpoints up and down, in chunks. */
#ifndef FLOOR_ENDPOINTS_H
#define FLOOR_ENDPOINTS_H

#include "namespaces.h"

/* What is asked for on the command line, or stands there by default. */
struct wishes {
    int routed, count, chunk, keep, makers, by_netns, host_first, ascend, snoop;
    double soak;
    int burst;
};
extern struct wishes want;

/* Seconds of a clock that only goes forward. */
double now(void);

/* Enter namespaces of our own and make the network. */
void enter_private(void);

/* Make the list of endpoints: addresses and paths, nothing in the kernel. */
struct endpoint *plan(int count);

/* All up: seconds; `curve` takes the time after every chunk, unless NULL. */
double up(struct endpoint *all, int count, double *curve);

/* All down: seconds until no host link and no path is left; `drained`: until the namespaces are cleaned up too. */
double down(struct endpoint *all, int count, double *drained);

#endif

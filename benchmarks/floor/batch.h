/* Many netlink messages in one buffer, and a socket to send them on. Whatever is refused ends the program. */
#ifndef FLOOR_BATCH_H
#define FLOOR_BATCH_H

#include <stddef.h>
#include <stdint.h>

struct batch {
    uint8_t data[256 * 1024];
    size_t used;
    size_t last; /* where the last message begins */
    uint32_t count;
};

/* End the program with a message. */
void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Zeroed room at the end of the batch. */
void *put_space(struct batch *b, size_t size);

/* A message: its header and a zeroed `head` to fill in; attributes follow, and at last end(). */
void *begin(struct batch *b, uint16_t type, uint16_t flags, size_t head);
void end(struct batch *b);

void put(struct batch *b, uint16_t type, const void *value, size_t size);
void put_u32(struct batch *b, uint16_t type, uint32_t value);
void put_text(struct batch *b, uint16_t type, const char *text);

/* An attribute of attributes: what nest() gives is what unnest() takes. */
size_t nest(struct batch *b, uint16_t type);
void unnest(struct batch *b, size_t at);

/* A route socket of the namespace that the thread is in; buffers of `buffer` bytes, unless 0. */
int open_route(int buffer);

/* Send a batch and read what the kernel says of it: 0, or the errno of the first refusal. */
int try_execute(int fd, struct batch *b);
void execute(const char *what, int fd, struct batch *b);

#endif

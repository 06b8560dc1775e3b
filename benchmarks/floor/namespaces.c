#define _GNU_SOURCE
#include "namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "batch.h"

#define THREAD_NS "/proc/thread-self/ns/net"

static struct maker {
    pthread_t thread;
    int first;
} makers[MAX_MAKERS];

static struct {
    struct endpoint *endpoints;
    int count, makers, keep;
} work;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t told = PTHREAD_COND_INITIALIZER;
static int kept; /* namespaces that are open */

int this_namespace(void)
{
    int handle = open(THREAD_NS, O_RDONLY | O_CLOEXEC);
    if (handle < 0)
        die(THREAD_NS ": %s", strerror(errno));
    return handle;
}

static void make_namespace(struct endpoint *e)
{
    int file, handle, route;
    if (unshare(CLONE_NEWNET) < 0)
        die("unshare: %s", strerror(errno));
    handle = this_namespace();
    route = open_route(0);
    file = open(e->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0);
    if (file < 0)
        die("%s: %s", e->path, strerror(errno));
    close(file);
    if (mount(THREAD_NS, e->path, NULL, MS_BIND, NULL) < 0)
        die("bind %s: %s", e->path, strerror(errno));
    e->socket = route;
    __atomic_store_n(&e->namespace, handle, __ATOMIC_RELEASE);
}

void make_namespaces(struct endpoint *first, int count, int home)
{
    for (int i = 0; i < count; i++)
        make_namespace(&first[i]);
    if (setns(home, CLONE_NEWNET) < 0)
        die("setns: %s", strerror(errno));
    kept += count;
}

static void *make_share(void *argument)
{
    struct maker *mine = argument;
    for (int i = mine->first; i < work.count; i += work.makers) {
        pthread_mutex_lock(&lock);
        while (kept >= work.keep)
            pthread_cond_wait(&told, &lock);
        kept++;
        pthread_mutex_unlock(&lock);
        make_namespace(&work.endpoints[i]);
        pthread_mutex_lock(&lock);
        pthread_cond_broadcast(&told);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

void start_makers(struct endpoint *first, int count, int threads, int keep)
{
    work.endpoints = first;
    work.count = count;
    work.makers = threads;
    work.keep = keep;
    for (int i = 0; i < threads; i++) {
        makers[i].first = i;
        if (pthread_create(&makers[i].thread, NULL, make_share, &makers[i]))
            die("no thread");
    }
}

void join_makers(void)
{
    for (int i = 0; i < work.makers; i++)
        pthread_join(makers[i].thread, NULL);
}

void wait_namespace(struct endpoint *e)
{
    if (__atomic_load_n(&e->namespace, __ATOMIC_ACQUIRE) >= 0)
        return;
    pthread_mutex_lock(&lock);
    while (__atomic_load_n(&e->namespace, __ATOMIC_ACQUIRE) < 0)
        pthread_cond_wait(&told, &lock);
    pthread_mutex_unlock(&lock);
}

void let_go(struct endpoint *first, int count)
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

void drop(struct endpoint *first, int count)
{
    for (int i = 0; i < count; i++) {
        if (umount2(first[i].path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 || unlink(first[i].path) < 0)
            die("drop %s: %s", first[i].path, strerror(errno));
    }
}

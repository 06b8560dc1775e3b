"""Make, enter, bind and drop network namespaces, on a private thread.

``unshare`` and ``setns`` act on a thread. The work is therefore done by a thread of this module's own that
runs no Python, lives for one call and takes its namespace with it into the grave: no thread of the program ever
changes its namespace or keeps a namespace alive. A netlink socket stays where it was opened, so later messages
need no entering.
"""

import os

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.list cimport PyList_GET_ITEM
from cython cimport final
from libc.errno cimport EBUSY, EINVAL, ENOENT
from libc.errno cimport errno as c_errno
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from _fastnet.args cimport INT_LIMIT, read_number
from _fastnet.socket cimport NetlinkSocket, open_route_socket

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <fcntl.h>
    #include <pthread.h>
    #include <sched.h>
    #include <signal.h>
    #include <stdio.h>
    #include <sys/ioctl.h>
    #include <sys/mount.h>
    #include <sys/socket.h>
    #include <sys/stat.h>
    #include <sys/vfs.h>
    #include <unistd.h>
    """

cdef extern from * nogil:
    ctypedef struct pthread_t:
        pass
    ctypedef struct pthread_attr_t:
        pass
    ctypedef struct sigset_t:
        pass
    struct c_stat "stat":
        unsigned long long st_dev
        unsigned long long st_ino
        unsigned int st_mode
        long long st_size
    unsigned int S_IFMT, S_IFREG
    struct c_statfs "statfs":
        long f_type
    int C_NEWNET "CLONE_NEWNET", C_NEWNS "CLONE_NEWNS", C_NEWUSER "CLONE_NEWUSER"
    int O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_CLOEXEC, O_NONBLOCK, O_NOCTTY
    int SOCK_CLOEXEC, MS_BIND, MNT_DETACH, UMOUNT_NOFOLLOW, SIG_SETMASK
    int pthread_attr_init(pthread_attr_t* attributes)
    int pthread_attr_setstacksize(pthread_attr_t* attributes, size_t size)
    int pthread_attr_destroy(pthread_attr_t* attributes)
    int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*) noexcept nogil, void* argument)
    int pthread_join(pthread_t thread, void** result)
    int pthread_sigmask(int how, const sigset_t* new, sigset_t* old)
    int sigfillset(sigset_t* signals)
    int c_unshare "unshare"(int flags)
    int c_setns "setns"(int fd, int kind)
    int c_open "open"(const char* path, int flags, ...)
    int c_close "close"(int fd)
    int c_unlink "unlink"(const char* path)
    int c_lstat "lstat"(const char* path, c_stat* out)
    int c_fstat "fstat"(int fd, c_stat* out)
    int c_fstatfs "fstatfs"(int fd, c_statfs* out)
    int ioctl(int fd, unsigned long request, ...)
    int mount(const char* source, const char* target, const char* kind, unsigned long flags, const void* data)
    int umount2(const char* target, int flags)
    int c_socket "socket"(int domain, int type, int protocol)

cdef extern from *:
    """
    /* include/uapi/linux/magic.h: #define NSFS_MAGIC 0x6e736673 */
    #define FASTNET_NSFS_MAGIC 0x6e736673L
    /* include/uapi/linux/nsfs.h: #define NS_GET_NSTYPE _IO(NSIO, 0x3) "Returns the type of namespace (CLONE_NEW*
       value) referred to by file descriptor"; NSIO 0xb7 */
    #define FASTNET_NS_GET_NSTYPE 0xb703UL
    #define FASTNET_THREAD_NS "/proc/thread-self/ns/net"
    """
    const long NSFS_MAGIC "FASTNET_NSFS_MAGIC"
    const unsigned long NS_GET_NSTYPE "FASTNET_NS_GET_NSTYPE"
    const char* THREAD_NS "FASTNET_THREAD_NS"

cdef enum:
    # What our threads run needs a few kilobytes.
    STACK_BYTES = 256 * 1024
    # Mounts that one path may carry one over the other before we give up.
    STACKED_MOUNTS = 16

CLONE_NEWNET = C_NEWNET
CLONE_NEWNS = C_NEWNS
CLONE_NEWUSER = C_NEWUSER

# Which step of the work failed, for people.
cdef enum Step:
    STEP_NONE
    STEP_UNSHARE
    STEP_HANDLE
    STEP_SOCKET
    STEP_FILE
    STEP_BIND
    STEP_OPEN
    STEP_KIND
    STEP_ENTER
    STEP_UMOUNT
    STEP_UNLINK
    STEP_OPEN_FILE


cdef str step_words(Step step):
    return {
        STEP_UNSHARE: "make a network namespace",
        STEP_HANDLE: "open the new namespace's handle",
        STEP_SOCKET: "open a socket in the namespace",
        STEP_FILE: "create the mount point",
        STEP_BIND: "bind the namespace to its path",
        STEP_OPEN: "open the namespace",
        STEP_KIND: "not a network namespace",
        STEP_ENTER: "enter the namespace",
        STEP_UMOUNT: "unmount the namespace",
        STEP_UNLINK: "remove the mount point",
        STEP_OPEN_FILE: "open a file in the namespace",
    }[step]


cdef object failure(int code, Step step, object path):
    if path is None:
        return OSError(code, f"{step_words(step)}: {os.strerror(code)}")
    return OSError(code, f"{step_words(step)}: {os.strerror(code)}", path)


# ----------------------------------------------------------------------------------------- the private thread
cdef struct Made:
    const char* path        # NULL = anonymous
    int namespace           # out: a descriptor
    int socket              # out: a descriptor
    int error               # out: errno of the step that failed, 0 = made
    Step step

cdef struct CreateJob:
    Made* entries
    size_t count

cdef struct EnterJob:
    int namespace           # to enter
    int family              # of the socket; -1 = our kind of NETLINK_ROUTE socket
    int type
    int protocol
    const char* file        # to be opened instead of a socket; NULL = none
    int flags               # of open(2)
    int socket              # out: a descriptor, of the file too
    int error               # out: errno of the step that failed
    Step step


cdef int run_aside(void* (*run)(void*) noexcept nogil, void* job) noexcept nogil:
    """Run a function on a thread of its own that no signal reaches, and wait for its end: 0 or an errno."""
    cdef pthread_t thread
    cdef pthread_attr_t attributes
    cdef sigset_t every, before
    cdef int code = pthread_attr_init(&attributes)
    if code:
        return code
    pthread_attr_setstacksize(&attributes, STACK_BYTES)
    # The new thread inherits our mask.
    sigfillset(&every)
    pthread_sigmask(SIG_SETMASK, &every, &before)
    code = pthread_create(&thread, &attributes, run, job)
    pthread_sigmask(SIG_SETMASK, &before, NULL)
    pthread_attr_destroy(&attributes)
    return code if code else pthread_join(thread, NULL)


cdef void make_one(Made* entry) noexcept nogil:
    cdef int file
    entry.step = STEP_UNSHARE
    if c_unshare(C_NEWNET) < 0:
        entry.error = c_errno
        return
    entry.step = STEP_HANDLE
    entry.namespace = c_open(THREAD_NS, O_RDONLY | O_CLOEXEC)
    if entry.namespace < 0:
        entry.error = c_errno
        return
    entry.step = STEP_SOCKET
    entry.socket = open_route_socket(0, 0)
    if entry.socket < 0:
        entry.error = -entry.socket
        return
    if entry.path == NULL:
        return
    entry.step = STEP_FILE
    file = c_open(entry.path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0)
    if file < 0:
        entry.error = c_errno
        return
    c_close(file)
    entry.step = STEP_BIND
    if mount(THREAD_NS, entry.path, NULL, MS_BIND, NULL) < 0:
        entry.error = c_errno
        c_unlink(entry.path)


cdef void* create_all(void* argument) noexcept nogil:
    cdef CreateJob* job = <CreateJob*> argument
    cdef Made* entry
    cdef size_t i
    for i in range(job.count):
        entry = &job.entries[i]
        make_one(entry)
        if entry.error:
            # Binding is the last step, so nothing is mounted here.
            if entry.socket >= 0:
                c_close(entry.socket)
            if entry.namespace >= 0:
                c_close(entry.namespace)
            entry.socket = entry.namespace = -1
    return NULL


cdef void* enter_and_open(void* argument) noexcept nogil:
    cdef EnterJob* job = <EnterJob*> argument
    job.step = STEP_ENTER
    if c_setns(job.namespace, C_NEWNET) < 0:
        job.error = c_errno
        return NULL
    job.step = STEP_SOCKET
    if job.file != NULL:
        job.step = STEP_OPEN_FILE
        job.socket = c_open(job.file, job.flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)
        if job.socket < 0:
            job.error = c_errno
    elif job.family < 0:
        job.socket = open_route_socket(0, 0)
        if job.socket < 0:
            job.error = -job.socket
    else:
        job.socket = c_socket(job.family, job.type | SOCK_CLOEXEC, job.protocol)
        if job.socket < 0:
            job.error = c_errno
    return NULL


# --------------------------------------------------------------------------------------------------- helpers
cdef bytes encoded(object path):
    """The path as the kernel takes it; ValueError where it holds a NUL."""
    cdef bytes name = os.fsencode(path)
    if b"\0" in name:
        raise ValueError(f"a path must not hold a NUL: {path!r}")
    if not name:
        raise ValueError("a path must not be empty")
    return name


cdef int open_namespace(object path) except -1:
    """Open the network namespace at a path; OSError where there is none."""
    cdef bytes name = encoded(path)
    cdef const char* text = PyBytes_AS_STRING(name)
    cdef c_statfs system
    cdef int fd
    cdef int code = 0
    with nogil:
        # O_NONBLOCK: a FIFO must not hold us up.
        fd = c_open(text, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        if fd < 0:
            code = c_errno
        # Only files of nsfs know the question; to a device the number may mean anything.
        elif c_fstatfs(fd, &system) < 0 or system.f_type != NSFS_MAGIC or ioctl(fd, NS_GET_NSTYPE) != C_NEWNET:
            c_close(fd)
            fd = -1
    if code:
        raise failure(code, STEP_OPEN, path)
    if fd < 0:
        raise failure(EINVAL, STEP_KIND, path)
    return fd


cdef int socket_inside(int namespace, object path, int family, int type, int protocol) except -1:
    cdef EnterJob job
    memset(&job, 0, sizeof(job))
    job.namespace = namespace
    job.family = family
    job.type = type
    job.protocol = protocol
    return run_inside(&job, path, None)


cdef int run_inside(EnterJob* job, object path, object file) except -1:
    cdef int code
    with nogil:
        code = run_aside(enter_and_open, job)
    if code:
        raise OSError(code, f"start a thread: {os.strerror(code)}")
    if job.error:
        raise failure(job.error, job.step, file if job.step == STEP_OPEN_FILE else path)
    return job.socket


@final
cdef class Namespace:
    """A network namespace held by a descriptor, with a netlink socket inside it.

    Made by :func:`create` and :func:`open`. The namespace lives as long as anything refers to it: this
    descriptor, its socket, a bind mount or a process inside. ``close`` gives up the first two and
    leaves the path alone (see :func:`drop`).

    Notes
    -----
    Thread safety: any thread may use it; do not close it while another thread uses its descriptor.
    """

    def __cinit__(self):
        self.fd = -1

    def __init__(self):
        raise TypeError("namespaces are made by create() and open()")

    def __dealloc__(self):
        if self.fd >= 0:
            c_close(self.fd)

    @property
    def path(self):
        """Where it is bound, as given; None for an anonymous one."""
        return self.name

    @property
    def socket(self):
        """The NetlinkSocket inside; ValueError once closed."""
        if self.fd < 0:
            raise ValueError("the namespace is closed")
        return self.route

    def fileno(self):
        """Give the namespace's descriptor (what ``Batch.add_veth(namespace=…)`` takes); ValueError once closed."""
        if self.fd < 0:
            raise ValueError("the namespace is closed")
        return self.fd

    @property
    def closed(self):
        """Whether ``close`` was called."""
        return self.fd < 0

    def close(self):
        """Close the descriptor and the socket. A second time does nothing."""
        cdef int fd = self.fd
        self.fd = -1
        if fd >= 0:
            self.route.close()
            with nogil:
                c_close(fd)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace, /):
        self.close()

    def __repr__(self):
        return f"<namespace {self.name or 'without a path'}{' closed' if self.fd < 0 else ''}>"


cdef Namespace blank(object path):
    cdef Namespace namespace = Namespace.__new__(Namespace)
    namespace.name = path
    namespace.route = NetlinkSocket.__new__(NetlinkSocket)
    return namespace


def create(paths, /):
    """Make one namespace per path, bind it there (None: anonymous), and open a netlink socket in it.

    Equivalent to: ``ip netns add NAME`` for each, but in one go and without a process.

    All on one private thread, without the GIL. An entry that fails is undone (nothing stays of it, neither mount
    point nor descriptor) and the others go on.

    Parameters
    ----------
    paths : sequence of (str, bytes, path-like or None)
        Files that do not exist yet, in directories that do, best on a tmpfs of one's own.

    Returns
    -------
    list of Namespace or OSError
        One per path; the error has ``errno``, ``filename`` and says which step failed.

    Raises
    ------
    OSError
        No thread could be started: nothing was made.
    """
    cdef list wanted = list(paths)
    cdef list names = [None if path is None else encoded(path) for path in wanted]
    cdef list result = [blank(path) for path in wanted]
    cdef CreateJob job
    cdef Namespace namespace
    cdef size_t i
    cdef int code
    if not wanted:
        return result
    job.count = <size_t> len(wanted)
    # calloc() checks the product.
    job.entries = <Made*> calloc(job.count, sizeof(Made))
    if job.entries == NULL:
        raise MemoryError
    for i in range(job.count):
        job.entries[i].namespace = job.entries[i].socket = -1
        if names[i] is not None:
            job.entries[i].path = PyBytes_AS_STRING(names[i])
    with nogil:
        code = run_aside(create_all, &job)
    try:
        if code:
            raise OSError(code, f"start a thread: {os.strerror(code)}")
        # First give every descriptor its owner, which cannot fail; then make the errors, which can.
        for i in range(job.count):
            if job.entries[i].error == 0:
                namespace = <Namespace> result[i]
                namespace.fd = job.entries[i].namespace
                namespace.route.take(job.entries[i].socket)
        for i in range(job.count):
            if job.entries[i].error:
                result[i] = failure(job.entries[i].error, job.entries[i].step, wanted[i])
    finally:
        free(job.entries)
    return result


def open(path, /):
    """Open the network namespace at a path, with a netlink socket inside.

    Raises
    ------
    OSError
        Nothing is there, it is no network namespace (EINVAL), or we may not enter it (EPERM).
    """
    cdef Namespace namespace = blank(path)
    namespace.fd = open_namespace(path)
    namespace.route.take(socket_inside(namespace.fd, path, -1, 0, 0))
    return namespace


def socket_in(path, family, type, protocol, /):
    """Open a socket of any kind inside the namespace at a path; the caller closes the descriptor.

    Equivalent to: ``socket(family, type | SOCK_CLOEXEC, protocol)`` by a process inside.

    Raises
    ------
    OSError
        As of :func:`open`, or the socket was refused.
    """
    cdef int fd = -1
    cdef int domain = <int> read_number(family, "family", 0, INT_LIMIT)
    cdef int kind = <int> read_number(type, "type", 0, INT_LIMIT)
    cdef int number = <int> read_number(protocol, "protocol", 0, INT_LIMIT)
    fd = open_namespace(path)
    try:
        return socket_inside(fd, path, domain, kind, number)
    finally:
        c_close(fd)


def file_in(path, file, flags, /):
    """Open a file as a process inside the namespace at a path would: below ``/proc/sys/net`` it is that namespace's.

    Equivalent to: ``open(file, flags | O_CLOEXEC | O_NOFOLLOW)`` by a process inside. The caller closes the descriptor.

    Raises
    ------
    OSError
        As of :func:`open`, or the file was refused; ``filename`` says which of the two.
    """
    cdef EnterJob job
    cdef bytes name = encoded(file)
    cdef int fd
    memset(&job, 0, sizeof(job))
    job.file = PyBytes_AS_STRING(name)
    job.flags = <int> read_number(flags, "flags", 0, INT_LIMIT)
    fd = job.namespace = open_namespace(path)
    try:
        return run_inside(&job, path, file)
    finally:
        c_close(fd)


cdef int drop_one(const char* path, Step* step) noexcept nogil:
    """Unmount and unlink: 0, or an errno."""
    cdef c_stat status
    cdef int i
    for i in range(STACKED_MOUNTS):
        step[0] = STEP_UMOUNT
        if umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0:
            if c_errno == ENOENT:
                return 0
            # Nothing is mounted there. Then only what looks like our mount point may go, never a file of someone's.
            if c_errno != EINVAL:
                return c_errno
            step[0] = STEP_UNLINK
            if c_lstat(path, &status) < 0:
                return 0 if c_errno == ENOENT else c_errno
            if status.st_mode & S_IFMT != S_IFREG or status.st_size != 0:
                return EINVAL
        step[0] = STEP_UNLINK
        if c_unlink(path) == 0 or c_errno == ENOENT:
            return 0
        if c_errno != EBUSY:
            return c_errno
        # Still busy: one mount lay over another.
    return EBUSY


def drop(paths, /):
    """Unmount and unlink what :func:`create` bound, without the GIL.

    Equivalent to: ``ip netns delete NAME`` for each.

    A path that is gone, or an empty file that nothing is mounted on, is no error (any other file stays: EINVAL). The namespaces themselves die when nothing
    refers to them any more. Unlinking a mount point also detaches its mount in other mount namespaces.

    Returns
    -------
    list of None or OSError
        One per path.
    """
    cdef list wanted = list(paths)
    cdef list names = [encoded(path) for path in wanted]
    cdef size_t count = <size_t> len(wanted)
    cdef Made* entries
    cdef list result
    cdef size_t i
    entries = <Made*> calloc(count or 1, sizeof(Made))
    if entries == NULL:
        raise MemoryError
    try:
        for i in range(count):
            entries[i].path = PyBytes_AS_STRING(names[i])
        with nogil:
            for i in range(count):
                entries[i].error = drop_one(entries[i].path, &entries[i].step)
        result = [
            failure(entries[i].error, entries[i].step, wanted[i]) if entries[i].error else None for i in range(count)
        ]
    finally:
        free(entries)
    return result


def unshare(flags, /):
    """unshare(2) of the calling thread (Python 3.11 has no ``os.unshare``); OSError where it is refused.

    CLONE_NEWUSER needs a process of one thread (EINVAL).
    """
    if c_unshare(<int> read_number(flags, "flags", 0, INT_LIMIT)) < 0:
        raise OSError(c_errno, f"unshare: {os.strerror(c_errno)}")


def identity(path, /):
    """(device, inode) of the network namespace at a path: equal for the same namespace.

    Raises
    ------
    OSError
        Nothing is there, or it is no network namespace (EINVAL).
    """
    cdef c_stat status
    cdef int fd = open_namespace(path)
    cdef int code = 0
    if c_fstat(fd, &status) < 0:
        code = c_errno
    c_close(fd)
    if code:
        raise failure(code, STEP_OPEN, path)
    return status.st_dev, status.st_ino

"""Many rtnetlink messages in one buffer. No I/O."""

import cython

from cython cimport final

from _fastnet.columns cimport Columns


@cython.auto_pickle(False)
@final
cdef class Batch(Columns):
    """rtnetlink messages one after the other in one buffer.

    Every verb appends one message and returns its position (0, 1, …). Nothing is sent:
    that is :meth:`_fastnet.socket.NetlinkSocket.execute`. The kernel carries the messages out in order, goes on
    after one that fails, and takes none back: a batch is not a transaction.

    Names are text or bytes of 1…15 bytes. A MAC is 6 bytes, an address 4 or 16 bytes in network order, a
    ``prefix`` a number of bits. ``index`` is an ifindex, 0 = not given. ``namespace`` is a descriptor of a network
    namespace, -1 = the socket's own; it must stay open until the batch is executed.

    A switch whose default is None (leave alone) takes True, False or None and nothing else. The others count by
    their truth; but verbs over columns (``add_fdbs``…) take ``replace`` and ``master`` as True or False only.

    A wrong type raises TypeError, a value out of its range ValueError, and the batch is then as before.
    While a memory view of the batch lives, or another thread executes it, verbs and ``clear`` raise BufferError.

    Parameters
    ----------
    capacity : int, optional
        Bytes to allocate at once; the buffer grows by itself.

    Notes
    -----
    Thread safety: for one thread at a time. Its own buffer is pinned while a socket sends it.

    Examples
    --------
    >>> batch = Batch()
    >>> batch.add_veth("dv1", "eth0", up=True), batch.delete_link(name="dv1")
    (0, 1)
    >>> batch.operation(1)
    'delete link dv1'
    """

"""Messages in people's words, read from their own bytes. C level only.

For error texts and for ``Batch.describe()``: rare, so plain Python objects.
"""

from _fastnet.wire cimport Span

# What one message does, in few words: "add veth dv01".
cdef str operation_of(Span message)
# The same with every attribute: "add veth dv01 mtu 1500 peer eth0 …".
cdef str line_of(Span message)

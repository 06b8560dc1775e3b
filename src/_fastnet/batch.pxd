"""Many rtnetlink messages in one buffer. No I/O."""

from _fastnet.neighbourverbs cimport NeighbourVerbs

# Each noun's verbs stand in a file: messages ← linkverbs ← kindverbs ← addressverbs ← neighbourverbs.
cdef class Batch(NeighbourVerbs):
    pass

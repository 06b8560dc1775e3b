"""Many rtnetlink messages in one buffer. No I/O."""

from _fastnet.columns cimport Columns

# Each noun's verbs stand in a file: messages ← linkverbs ← kindverbs ← addressverbs ← neighbourverbs ← columns.
cdef class Batch(Columns):
    pass

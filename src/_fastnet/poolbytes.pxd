"""The bytes of a pool's snapshot (C level only).

All numbers are little-endian. A header of 32 bytes, four parts, and four bytes of CRC-32 over all before::

    0   4   "FNip"
    4   2   version, 1
    6   2   0
    8   4   bytes of the space: prefix, range (may be empty) and exclusions as text, a line each
    12  4   places in quarantine
    16  4   bytes of the snapshot of the bitmap
    20  4   bytes of the snapshot of what is aside; 0 without a range
    24  8   nanoseconds that an address waits; 0 without quarantine

A place is an ordinal and the nanoseconds that it has still to wait, 8 bytes each, in the order of release.
"""

from libc.stdint cimport uint64_t

from _fastnet.addrspace cimport AddressSpace
from _fastnet.bitmap cimport Bitmap
from _fastnet.quarantine cimport Quarantine

# At the clock's time `now`.
cdef bytes encode_pool(AddressSpace space, Bitmap bitmap, Bitmap aside, Quarantine rest, uint64_t now)
# (space, bitmap, aside, period, [(ordinal, left), …]); SnapshotError.
cdef tuple decode_pool(object data)

"""Which addresses a pool has, and their numbers: prefix, range, rules and exclusions.

Ordinals number, in order, only what the pool gives by itself: its range, without what a rule
reserves or an exclusion keeps. These addresses stand in *segments* of neighbours: one, where nothing
is cut out in the middle. What may be wanted but is never given by itself (with a range:
the rest of the prefix) is *aside* and numbered from the prefix's first address on.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint64_t

from _fastnet.addr cimport Address
from _fastnet.integers cimport Column

# Where an address lies.
cdef enum Where:
    INSIDE
    ASIDE               # may be wanted, is never given
    RULED               # reserved by rule
    KEPT                # excluded
    PAST_WINDOW         # in the prefix, but not among the addresses that the pool knows
    PAST_PREFIX
    OTHER_FAMILY


# Neighbouring addresses; they reach up to the next segment's first ordinal.
cdef struct Segment:
    uint64_t ordinal    # of its first address
    uint64_t low        # that address's lower 64 bits


cdef class AddressSpace:
    """Which addresses a pool has, and their numbers; immutable."""

    cdef Address base           # the address of ordinal 0; all of them share its upper 64 bits
    cdef uint64_t last          # the last ordinal
    cdef Segment* segments      # `cuts` + 1 of them; NULL where there is but one
    cdef size_t cuts            # where addresses are left out in the middle
    cdef object base_int        # `base` as a Python int
    cdef Address first          # the prefix's first address
    cdef object first_int       # the same as a Python int
    cdef object last_int        # its last one
    cdef int length             # of the prefix
    cdef bint ranged            # whether there is a range, and so something aside
    cdef uint64_t aside_last    # the last ordinal aside
    cdef tuple part             # the range: (first, last) as ints, or None
    cdef list kept              # what is excluded: (first, last) as ints, in order

    # The lower 64 bits of an ordinal's address, and the ordinal of an address that is inside.
    cdef uint64_t low_of(self, uint64_t ordinal) noexcept nogil
    cdef size_t segment_of(self, uint64_t ordinal) noexcept nogil
    cdef bint find(self, uint64_t low, uint64_t* ordinal) noexcept nogil
    # Where an address lies (an int, text or bytes), and its ordinal inside or aside.
    cdef Where place(self, const Address* address, uint64_t* ordinal) except? OTHER_FAMILY
    cdef Where locate(self, object source, uint64_t* ordinal) except? OTHER_FAMILY
    # A Column of ordinals: `inner` of them inside, then those aside in the reverse order; as
    # `deny_release` where one is neither.
    cdef Column ordinals_of(self, object addresses, size_t* inner)
    cdef int note(self, object source, Where where, uint64_t ordinal, Column column, size_t at, size_t* inner) except -1
    # Objects of an inside address, given by its lower 64 bits.
    cdef object as_int(self, uint64_t low)
    cdef str as_text(self, uint64_t low)
    # For messages: an address as it came in, what the rule says of it, why it is none of ours.
    cdef str text_of(self, object source)
    cdef str rule_of(self, object source)
    cdef int deny_release(self, object source, Where where) except -1
    cdef int refuse(self, object address, Where where) except -1
    # Prefix, range and exclusions as text, a line each.
    cdef str told(self)
    cdef size_t footprint(self) noexcept

"""The verbs that make links of the kinds with options of their own."""

from _fastnet.linkverbs cimport LinkVerbs

cdef class KindVerbs(LinkVerbs):
    pass

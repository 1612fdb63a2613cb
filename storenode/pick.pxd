# cython: language_level=3
"""Pick: entries of a Dict at random: one drawn fairly, or a handful for eviction to choose among."""

from storenode.types cimport Dict, Entry, Place

cdef bint table_random(Dict* dict, Place* place) noexcept nogil
cdef int table_sample(Dict* dict, Entry** entries, int most) noexcept nogil
cdef int table_sample_volatile(Dict* dict, Entry** entries, int most) noexcept nogil

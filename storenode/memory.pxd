# cython: language_level=3
"""Memory: where it went: MEMORY STATS, DOCTOR, MALLOC-STATS and PURGE, and the figures that INFO shows too."""

from storenode.types cimport Call, Node

cdef struct Footprint:         # bytes
    size_t used                # keys, values and tables: Node.memory
    size_t resident            # what the process holds; 0 where the system does not say
    size_t tables              # of `used`: the arrays of the keyspace
    size_t clients             # buffers, outside `used`
    size_t allocated           # handed out by malloc, everything
    size_t active              # what malloc has from the system, free blocks included
    size_t spare               # of `active`: free, at the top or in holes

cdef void memory_measure(Node* node, Footprint* footprint) noexcept nogil
cdef double fragmentation(const Footprint* footprint) noexcept nogil
cdef void command_memory_doctor(Call* call) noexcept nogil
cdef void command_memory_malloc_stats(Call* call) noexcept nogil
cdef void command_memory_purge(Call* call) noexcept nogil
cdef void command_memory_stats(Call* call) noexcept nogil

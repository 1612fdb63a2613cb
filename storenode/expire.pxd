# cython: language_level=3
"""Expire: finding keys whose time is over although nobody asks for them.

The loop calls expire_sweep() every 100 ms with a budget of 1 ms, and 10 ms after a call that used it up: at most a
tenth of a core, and next to nothing where few keys expire.
"""

from libc.stdint cimport uint64_t

from storenode.types cimport Node

cdef bint expire_sweep(Node* node, uint64_t budget_us) noexcept nogil

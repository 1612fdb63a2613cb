# cython: language_level=3
"""Expire: finding keys whose time is over although nobody asks for them."""

from libc.stdint cimport uint64_t

from storenode.types cimport Node

cdef bint expire_sweep(Node* node, uint64_t budget_us) noexcept nogil

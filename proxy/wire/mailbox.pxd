# cython: language_level=3
"""Mailbox: a bounded ring of pointers from exactly one thread to exactly one other, without a lock."""

from libc.stdint cimport uint32_t

cdef struct Mailbox:
    void** entries
    uint32_t mask              # capacity - 1; capacity is a power of two
    uint32_t head              # next to take; written by the reader only
    uint32_t tail              # next to fill; written by the writer only


cdef int mailbox_open(Mailbox* box, uint32_t capacity) noexcept nogil
cdef void mailbox_close(Mailbox* box) noexcept nogil
cdef bint mailbox_post(Mailbox* box, void* item) noexcept nogil
cdef void* mailbox_take(Mailbox* box) noexcept nogil

# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Mailbox: single producer, single consumer; the release store of an index publishes the entry before it."""

from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free

cdef extern from *:
    """
    #define quench_load(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
    #define quench_store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
    """
    uint32_t quench_load(uint32_t* at) nogil
    void quench_store(uint32_t* at, uint32_t value) nogil


cdef int mailbox_open(Mailbox* box, uint32_t capacity) noexcept nogil:
    """`capacity` must be a power of two. 0, or -1 when out of memory."""
    box.entries = <void**> calloc(capacity, sizeof(void*))
    box.mask = capacity - 1
    box.head = 0
    box.tail = 0
    return -1 if box.entries == NULL else 0


cdef void mailbox_close(Mailbox* box) noexcept nogil:
    free(box.entries)
    box.entries = NULL


cdef bint mailbox_post(Mailbox* box, void* item) noexcept nogil:
    """Writer's side. False when full: the writer decides what that means."""
    cdef uint32_t tail = box.tail
    if tail - quench_load(&box.head) > box.mask:
        return False
    box.entries[tail & box.mask] = item
    quench_store(&box.tail, tail + 1)
    return True


cdef void* mailbox_take(Mailbox* box) noexcept nogil:
    """Reader's side. NULL when empty."""
    cdef uint32_t head = box.head
    cdef void* item
    if head == quench_load(&box.tail):
        return NULL
    item = box.entries[head & box.mask]
    quench_store(&box.head, head + 1)
    return item

# cython: language_level=3
"""Poll: one epoll instance, the handles registered with it, and the eventfd that wakes it from another thread."""

from libc.stdint cimport uint32_t

from proxy.wire.system cimport epoll_event

cdef enum:
    READY_MOST = 512           # events taken in one turn: the bound of a turn's batch


cdef struct Handle:            # the first member of everything that is registered
    int kind                   # the owner's own enum; 0: dead, its events are ignored
    int fd                     # -1: none
    uint32_t interest          # EPOLLIN | EPOLLOUT now asked of the kernel


cdef struct Poll:
    int epoll
    int count                  # events of this turn
    epoll_event ready[READY_MOST]


cdef int poll_open(Poll* poll) noexcept nogil
cdef void poll_close(Poll* poll) noexcept nogil
cdef int poll_add(Poll* poll, Handle* handle, uint32_t interest) noexcept nogil
cdef int poll_change(Poll* poll, Handle* handle, uint32_t interest) noexcept nogil
cdef int poll_wait(Poll* poll, int timeout_ms) noexcept nogil
cdef int wake_open() noexcept nogil
cdef void wake(int fd) noexcept nogil
cdef void wake_clear(int fd) noexcept nogil


cdef inline int poll_want(Poll* poll, Handle* handle, uint32_t interest) noexcept nogil:
    """poll_change() that costs no system call when nothing changes."""
    if handle.interest == interest:
        return 0
    return poll_change(poll, handle, interest)

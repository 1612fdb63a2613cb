# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Poll: level-triggered epoll. See poll.pxd.

Level-triggered, because a turn deliberately reads only a bounded part of what a peer sent: what is left is reported
again next turn at no cost, while edge-triggering would need a list of its own for that. EPOLLOUT is asked for only
after the kernel refused bytes.
"""

from libc.stdint cimport uint32_t, uint64_t

from proxy.wire.system cimport (
    EFD_CLOEXEC, EFD_NONBLOCK, EINTR, EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_MOD, close, epoll_create1, epoll_ctl,
    epoll_event, epoll_wait, errno, eventfd, read, write,
)


cdef int poll_open(Poll* poll) noexcept nogil:
    """0, or -1 with errno."""
    poll.count = 0
    poll.epoll = epoll_create1(EPOLL_CLOEXEC)
    return -1 if poll.epoll < 0 else 0


cdef void poll_close(Poll* poll) noexcept nogil:
    if poll.epoll >= 0:
        close(poll.epoll)
        poll.epoll = -1


cdef int poll_add(Poll* poll, Handle* handle, uint32_t interest) noexcept nogil:
    """Register a handle; closing its fd unregisters it. 0, or -1 with errno."""
    cdef epoll_event event
    event.events = interest
    event.data.ptr = handle
    handle.interest = interest
    return epoll_ctl(poll.epoll, EPOLL_CTL_ADD, handle.fd, &event)


cdef int poll_change(Poll* poll, Handle* handle, uint32_t interest) noexcept nogil:
    cdef epoll_event event
    event.events = interest
    event.data.ptr = handle
    handle.interest = interest
    return epoll_ctl(poll.epoll, EPOLL_CTL_MOD, handle.fd, &event)


cdef int poll_wait(Poll* poll, int timeout_ms) noexcept nogil:
    """Wait for events; returns how many. A signal counts as no event."""
    poll.count = epoll_wait(poll.epoll, poll.ready, READY_MOST, timeout_ms)
    if poll.count < 0:
        poll.count = 0
        if errno != EINTR:
            return -1
    return poll.count


cdef int wake_open() noexcept nogil:
    """An eventfd to be registered by the sleeper and written by the waker; -1 with errno."""
    return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)


cdef void wake(int fd) noexcept nogil:
    cdef uint64_t one = 1
    while write(fd, &one, sizeof(one)) < 0 and errno == EINTR:
        pass


cdef void wake_clear(int fd) noexcept nogil:
    cdef uint64_t count
    while read(fd, &count, sizeof(count)) < 0 and errno == EINTR:
        pass

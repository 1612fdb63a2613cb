# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The least that answering costs: a server with the loop of an engine that looks at nothing.

One thread, one epoll, one recv and one send for what a client has sent. Of each receive the first request is measured,
and all bytes are taken to be such requests: PING is answered PONG, SET is answered OK, INCR a million, everything else a string of
64 bytes. What it costs a request is the kernel's part; no server of this kind can be cheaper.

    python -c 'from bench.floor import serve; serve(6399)'
"""
import socket

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memchr, memcpy

from bench.system cimport (
    EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLLIN, MSG_NOSIGNAL, SOCK_CLOEXEC, SOCK_NONBLOCK, accept4, close, epoll_create1,
    epoll_ctl, epoll_event, epoll_wait, recv, send,
)

cdef enum:
    EVENTS = 256
    ROOM = 65536
    DESCRIPTORS = 4096

cdef char[ROOM] inbox
cdef char[16 * ROOM] outbox
cdef size_t[DESCRIPTORS] left      # by descriptor: bytes of a request that is not whole yet
cdef size_t[DESCRIPTORS] measured  # and how long it will be


cdef size_t request_size(const char* data, size_t length) noexcept nogil:
    """Bytes of the first request, whose arguments hold no line end; 0 while it is not whole."""
    cdef int lines = 2 * (data[1] - 48) + 1
    cdef const char* at = data
    while lines:
        at = <const char*> memchr(at, 10, data + length - at)
        if at == NULL:
            return 0
        at += 1
        lines -= 1
    return at - data


cdef bint answer(int fd, size_t length) noexcept nogil:
    """Reply to what was received; False when the connection is of no use any more."""
    cdef const char* reply = b"$64\r\nvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv\r\n"
    cdef size_t size = 71
    cdef size_t count, index
    cdef char* at = outbox
    if left[fd] == 0:
        measured[fd] = request_size(inbox, length)
        if measured[fd] == 0:
            return False
    count = (left[fd] + length) // measured[fd]
    left[fd] = (left[fd] + length) % measured[fd]
    if inbox[8] == c'P':
        reply, size = b"+PONG\r\n", 7
    elif inbox[8] == c'S':
        reply, size = b"+OK\r\n", 5
    elif inbox[8] == c'I' and inbox[10] == c'C':
        reply, size = b":1000000\r\n", 10
    for index in range(count):
        memcpy(at, reply, size)
        at += size
    return send(fd, outbox, at - outbox, MSG_NOSIGNAL) == at - outbox


def serve(int port):
    """Listen on 127.0.0.1 until the process ends."""
    cdef epoll_event[EVENTS] events
    cdef epoll_event event
    cdef int epoll, listener, fd, count, index
    cdef ssize_t length
    door = socket.create_server(("127.0.0.1", port), backlog=1024)
    door.setblocking(False)
    listener = door.fileno()
    epoll = epoll_create1(EPOLL_CLOEXEC)
    event.events = EPOLLIN
    event.data.u32 = <uint32_t> listener
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event)
    with nogil:
        while True:
            count = epoll_wait(epoll, events, EVENTS, -1)
            for index in range(count):
                fd = <int> events[index].data.u32
                if fd == listener:
                    fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)
                    if fd >= DESCRIPTORS:
                        close(fd)
                    elif fd >= 0:
                        left[fd] = 0
                        event.events = EPOLLIN
                        event.data.u32 = <uint32_t> fd
                        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)
                    continue
                length = recv(fd, inbox, ROOM, 0)
                if length < 0 and (errno == EAGAIN or errno == EINTR):
                    continue
                if length <= 0 or not answer(fd, <size_t> length):
                    close(fd)

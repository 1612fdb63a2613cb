# cython: language_level=3
"""Declarations of the kernel and libc calls that the data plane makes. Declarations only: nothing here owns anything.

Every wrapper that can be interrupted is used through a retry at its one call site (`poll.pyx`, `output.pyx`,
`input.pyx`), because a signal handler of the interpreter may run on an engine's thread.
"""

from libc.stdint cimport uint32_t, uint64_t, int64_t


cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        void* ptr
        int fd
    cdef struct epoll_event:
        uint32_t events
        epoll_data_t data
    int EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDHUP
    int EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL
    int EPOLL_CLOEXEC
    int epoll_create1(int flags)
    int epoll_ctl(int epoll, int operation, int fd, epoll_event* event)
    int epoll_wait(int epoll, epoll_event* events, int most, int timeout_ms)

cdef extern from "<sys/eventfd.h>" nogil:
    int EFD_NONBLOCK, EFD_CLOEXEC
    int eventfd(unsigned int value, int flags)

cdef extern from "<sys/uio.h>" nogil:
    cdef struct iovec:
        void* iov_base
        size_t iov_len
    ssize_t writev(int fd, const iovec* parts, int count)

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    cdef struct sockaddr:
        unsigned short sa_family
    cdef struct sockaddr_storage:
        unsigned short ss_family
    cdef struct linger_t "linger":
        int l_onoff
        int l_linger
    cdef struct msghdr:
        iovec* msg_iov
        size_t msg_iovlen
    int AF_INET, AF_INET6, AF_UNIX, SOCK_STREAM, SOCK_NONBLOCK, SOCK_CLOEXEC
    int SOL_SOCKET, SO_ERROR, SO_LINGER, SO_KEEPALIVE, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_PEEK
    int SHUT_WR
    int socket(int domain, int kind, int protocol)
    int connect(int fd, const sockaddr* address, socklen_t length)
    int accept4(int fd, sockaddr* address, socklen_t* length, int flags)
    int getsockopt(int fd, int level, int name, void* value, socklen_t* length)
    int setsockopt(int fd, int level, int name, const void* value, socklen_t length)
    int getsockname(int fd, sockaddr* address, socklen_t* length)
    int getpeername(int fd, sockaddr* address, socklen_t* length)
    int shutdown(int fd, int how)
    ssize_t recv(int fd, void* buffer, size_t length, int flags)
    ssize_t send(int fd, const void* buffer, size_t length, int flags)
    ssize_t sendmsg(int fd, const msghdr* message, int flags)

cdef extern from "<netinet/in.h>" nogil:
    int IPPROTO_TCP

cdef extern from "<netinet/tcp.h>" nogil:
    int TCP_NODELAY

cdef extern from "<unistd.h>" nogil:
    int close(int fd)
    ssize_t read(int fd, void* buffer, size_t length)
    ssize_t write(int fd, const void* buffer, size_t length)

cdef extern from "<string.h>" nogil:
    char* strerror_r(int number, char* buffer, size_t length)   # GNU's: the text may or may not be in `buffer`

cdef extern from "<time.h>" nogil:
    cdef struct timespec:
        long tv_sec
        long tv_nsec
    int CLOCK_MONOTONIC, CLOCK_REALTIME
    int clock_gettime(int clock, timespec* out)

cdef extern from "<errno.h>" nogil:
    int errno
    int EAGAIN, EWOULDBLOCK, EINTR, EINPROGRESS, EMFILE, ENFILE, ECONNABORTED, ENOMEM, ENOBUFS, EPIPE, ECONNRESET


cdef inline uint64_t monotonic_us() noexcept nogil:
    """Microseconds of the monotonic clock; ~25 ns, so taken a few times a turn and never per request."""
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <uint64_t> t.tv_sec * 1000000 + <uint64_t> t.tv_nsec // 1000


cdef inline uint64_t realtime_us() noexcept nogil:
    """Microseconds since 1970, for what a person or a TTL reads."""
    cdef timespec t
    clock_gettime(CLOCK_REALTIME, &t)
    return <uint64_t> t.tv_sec * 1000000 + <uint64_t> t.tv_nsec // 1000

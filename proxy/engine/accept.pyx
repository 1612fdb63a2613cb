# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Accept: taking sockets from the listeners and sharing them out. See accept.pxd.

SO_REUSEPORT spreads connections by a hash, which is uneven for few of them, so a fresh socket goes to the engine
with the fewest clients: eight bytes through that engine's pipe, whose writes the kernel makes atomic.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memcpy, memset

from proxy.engine.client cimport client_open
from proxy.engine.texts cimport error_words, error_write
from proxy.engine.types cimport DEAD, ERROR_MAX_CLIENTS, FIELD_POOL, Client, Core, ErrorArgs, Pool
from proxy.wire.output cimport Output, output_clear
from proxy.wire.system cimport (
    AF_INET, AF_INET6, EINTR, EMFILE, ENFILE, IPPROTO_TCP, MSG_NOSIGNAL, SO_KEEPALIVE, SOCK_CLOEXEC, SOCK_NONBLOCK,
    SOL_SOCKET, TCP_NODELAY, accept4, close, errno, getpeername, read, send, setsockopt, sockaddr, sockaddr_storage,
    socklen_t, write,
)

cdef extern from *:
    """
    #define quench_add(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
    #define quench_read(p) __atomic_load_n((p), __ATOMIC_RELAXED)
    """
    void quench_add(uint32_t* at, int value) nogil
    uint32_t quench_read(uint32_t* at) nogil

cdef extern from "<fcntl.h>" nogil:
    int O_RDONLY, O_CLOEXEC
    int open(const char* path, int flags)

cdef enum:
    ACCEPT_MOST = 128          # sockets taken in one turn, so that a storm of connections starves nobody

cdef struct Handover:
    int fd
    int pool


cdef void accept_clients(Core* core, Pool* pool) noexcept nogil:
    cdef int count, fd, target
    cdef Handover note
    for count in range(ACCEPT_MOST):
        fd = accept4(pool.listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)
        if fd < 0:
            if errno == EINTR:
                continue
            if (errno == EMFILE or errno == ENFILE) and core.reserve_fd >= 0:
                # Out of descriptors: without a spare one the connection would stay in the queue and wake us for ever.
                close(core.reserve_fd)
                fd = accept4(pool.listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)
                if fd >= 0:
                    turn_away(core, pool, fd)
                core.reserve_fd = open(b"/dev/null", O_RDONLY | O_CLOEXEC)
            return
        target = pool.index % core.peers.count if pool.alone else emptiest(core)
        quench_add(&core.peers.clients[target], 1)
        if target != core.index:
            note.fd = fd
            note.pool = pool.index
            if write(core.peers.inbox[target], &note, sizeof(note)) == sizeof(note):
                core.counters.handed_over += 1
                continue
            quench_add(&core.peers.clients[target], -1)
            quench_add(&core.peers.clients[core.index], 1)
            if pool.alone:
                turn_away(core, pool, fd)
                quench_add(&core.peers.clients[core.index], -1)
                continue
        welcome(core, pool, fd)


cdef int emptiest(Core* core) noexcept nogil:
    """The engine with the fewest clients; this one where it is among them."""
    cdef int index
    cdef int best = core.index
    cdef uint32_t fewest = quench_read(&core.peers.clients[best])
    cdef uint32_t count
    for index in range(core.peers.count):
        count = quench_read(&core.peers.clients[index])
        if count < fewest:
            fewest = count
            best = index
    return best


cdef void inbox_take(Core* core) noexcept nogil:
    """Sockets that other engines handed over."""
    cdef Handover notes[64]
    cdef ssize_t size = read(core.inbox.fd, notes, sizeof(notes))
    cdef int index
    if size <= 0:
        return
    for index in range(<int> (<size_t> size // sizeof(Handover))):
        welcome(core, &core.pools[notes[index].pool], notes[index].fd)


cdef void welcome(Core* core, Pool* pool, int fd) noexcept nogil:
    """Make a client of the socket, or turn it away when the pool is full. The engine's count has it already."""
    cdef Client* client
    cdef int yes = 1
    cdef uint32_t share = (pool.limits.most_clients if pool.alone else
                           (pool.limits.most_clients + core.peers.count - 1) // <uint32_t> core.peers.count)
    core.counters.accepted += 1
    if core.draining or (share and pool.clients >= share):
        turn_away(core, pool, fd)
        quench_add(&core.peers.clients[core.index], -1)
        return
    if not pool.unix_socket:
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes))
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof(yes))
    client = client_open(core, pool, fd)
    remember_peer(client)


cdef void turn_away(Core* core, Pool* pool, int fd) noexcept nogil:
    cdef Output text
    cdef ErrorArgs args
    memset(&text, 0, sizeof(text))
    memset(&args, 0, sizeof(args))
    error_words(&args, FIELD_POOL, pool.name)
    error_write(core, ERROR_MAX_CLIENTS, &args, &text)
    send(fd, text.first.data, text.length, MSG_NOSIGNAL)
    output_clear(&text, &core.chunks)
    close(fd)
    core.counters.rejected_clients += 1


cdef void remember_peer(Client* client) noexcept nogil:
    """Keep the peer's address in 18 bytes: port and address, network order turned round for the port."""
    cdef sockaddr_storage storage
    cdef socklen_t size = sizeof(storage)
    cdef unsigned char* raw = <unsigned char*> &storage
    if getpeername(client.handle.fd, <sockaddr*> &storage, &size) < 0:
        return
    client.family = <unsigned char> storage.ss_family
    if storage.ss_family == AF_INET:
        client.port = <unsigned short> (raw[2] * 256 + raw[3])
        memcpy(client.address, raw + 4, 4)
    elif storage.ss_family == AF_INET6:
        client.port = <unsigned short> (raw[2] * 256 + raw[3])
        memcpy(client.address, raw + 8, 16)


cdef void listen_stop(Core* core) noexcept nogil:
    """Accept no more: the listeners are closed, and with them their places in epoll."""
    cdef int index
    for index in range(core.pool_count):
        if core.pools[index].listener.fd >= 0:
            close(core.pools[index].listener.fd)
            core.pools[index].listener.fd = -1
            core.pools[index].listener.kind = DEAD

# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Connection: making, resetting and ending a client. See connection.pxd.

A closed client stays in memory until the turn ends, marked as dead, because the batch of events that is being worked
through may still name it.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from proxy.wire.input cimport input_clear
from proxy.wire.output cimport output_clear
from proxy.wire.system cimport (
    AF_INET, AF_INET6, EPOLLIN, EPOLL_CTL_DEL, IPPROTO_TCP, SO_KEEPALIVE, SOL_SOCKET, TCP_NODELAY, close, epoll_ctl,
    getpeername, getsockname, setsockopt, sockaddr, sockaddr_storage, socklen_t,
)
from proxy.wire.poll cimport poll_add
from storenode.channels cimport subscriptions_end
from storenode.monitor cimport monitor_end
from storenode.tracking cimport tracking_end
from storenode.blocked cimport wait_drop
from storenode.replication cimport replica_forget
from storenode.transaction cimport transaction_end
from storenode.types cimport CLIENT, DEAD, KEEPALIVE, NAME_MOST, Client, Node

cdef enum:
    IDS_LEAST = 64             # a power of two

cdef extern from "<netinet/tcp.h>" nogil:
    int TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT

cdef extern from "<arpa/inet.h>" nogil:
    cdef struct in_addr:
        uint32_t s_addr
    cdef struct in6_addr:
        unsigned char s6_addr[16]
    cdef struct sockaddr_in:
        unsigned short sin_port
        in_addr sin_addr
    cdef struct sockaddr_in6:
        unsigned short sin6_port
        in6_addr sin6_addr
    const char* inet_ntop(int family, const void* address, char* text, socklen_t room)
    unsigned short ntohs(unsigned short value)


cdef void address_text(const sockaddr_storage* address, char* text) noexcept nogil:
    """`1.2.3.4:5` or `[::1]:5`, at most NAME_MOST bytes with the final NUL."""
    cdef char host[46]
    if address.ss_family == AF_INET6:
        inet_ntop(AF_INET6, &(<const sockaddr_in6*> address).sin6_addr, host, sizeof(host))
        snprintf(text, NAME_MOST, b"[%s]:%d", host, ntohs((<const sockaddr_in6*> address).sin6_port))
    elif address.ss_family == AF_INET:
        inet_ntop(AF_INET, &(<const sockaddr_in*> address).sin_addr, host, sizeof(host))
        snprintf(text, NAME_MOST, b"%s:%d", host, ntohs((<const sockaddr_in*> address).sin_port))
    else:
        snprintf(text, NAME_MOST, b"?:0")


cdef void keep_alive(int fd, int idle) noexcept nogil:
    """Have the kernel ask after `idle` seconds (0: never) of silence whether the peer is there, as redis-server does."""
    cdef int one = 1
    cdef int interval = idle // 3 if idle >= 3 else 1
    cdef int count = 3
    if idle:
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one))
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle))
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval))
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count))


cdef bint grow_ids(Node* node) noexcept nogil:
    """Make room in the index by id. Ids are handed out one by one, so their low bits are all the hash it takes."""
    cdef uint64_t size = 2 * (node.ids_mask + 1) if node.ids != NULL else IDS_LEAST
    cdef Client** ids = <Client**> calloc(size, sizeof(Client*))
    cdef Client* client = node.clients
    if ids == NULL:
        return False
    while client != NULL:
        client.next_id = ids[client.id & (size - 1)]
        ids[client.id & (size - 1)] = client
        client = client.next
    free(node.ids)
    node.ids = ids
    node.ids_mask = size - 1
    return True


cdef Client* client_open(Node* node, int fd) noexcept nogil:
    """A client for an accepted socket; NULL (and the socket closed) when memory or epoll says no."""
    cdef Client* client = <Client*> calloc(1, sizeof(Client))
    cdef sockaddr_storage address
    cdef socklen_t size = sizeof(address)
    cdef int one = 1
    if client == NULL or ((node.ids == NULL or node.client_count > node.ids_mask) and not grow_ids(node)):
        close(fd)
        free(client)
        return NULL
    client.handle.kind = CLIENT
    client.handle.fd = fd
    if poll_add(&node.poll, &client.handle, EPOLLIN) < 0:
        close(fd)
        free(client)
        return NULL
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
    keep_alive(fd, <int> node.settings[KEEPALIVE])
    memset(&address, 0, sizeof(address))
    getpeername(fd, <sockaddr*> &address, &size)
    address_text(&address, client.peer)
    size = sizeof(address)
    getsockname(fd, <sockaddr*> &address, &size)
    address_text(&address, client.local)
    node.client_next += 1
    client.id = node.client_next
    client.created_us = node.now_us
    client.used_us = node.now_us
    client.next = node.clients
    if node.clients != NULL:
        node.clients.previous = client
    node.clients = client
    client.next_id = node.ids[client.id & node.ids_mask]
    node.ids[client.id & node.ids_mask] = client
    node.client_count += 1
    client_reset(node, client)
    return client


cdef void client_reset(Node* node, Client* client) noexcept nogil:
    """The state of a fresh connection: what RESET goes back to."""
    client.database = &node.databases[0]
    client.resp = 2
    client.user = node.user_default
    client.authenticated = client.user.on and client.user.nopass
    client.trusted = client.authenticated and client.user.all
    client.no_evict = False
    client.no_touch = False
    client.quiet = 0
    tracking_end(node, client)
    subscriptions_end(node, client)
    monitor_end(node, client)
    transaction_end(node, client)
    free(client.name)
    client.name = NULL


cdef void client_close(Node* node, Client* client) noexcept nogil:
    """Close the socket now and the record at the end of the turn. Safe to call twice."""
    cdef Client** at
    if client.handle.kind == DEAD:
        return
    at = &node.ids[client.id & node.ids_mask]
    while at[0] != client:
        at = &at[0].next_id
    at[0] = client.next_id
    tracking_end(node, client)
    subscriptions_end(node, client)
    monitor_end(node, client)
    client.handle.kind = DEAD
    if client.replica != NULL:
        replica_forget(node, client)
    if node.child.pid:
        # A child that has the socket, too, keeps it alive, and epoll would go on reporting it.
        epoll_ctl(node.poll.epoll, EPOLL_CTL_DEL, client.handle.fd, NULL)
    close(client.handle.fd)
    client.handle.fd = -1
    client.closing = True
    wait_drop(node, client)
    transaction_end(node, client)
    if client.previous != NULL:
        client.previous.next = client.next
    else:
        node.clients = client.next
    if client.next != NULL:
        client.next.previous = client.previous
    node.client_count -= 1
    client.previous = NULL
    client.next = node.dead
    node.dead = client


cdef void clients_bury(Node* node) noexcept nogil:
    cdef Client* client
    while node.dead != NULL:
        client = node.dead
        node.dead = client.next
        input_clear(&client.input, &node.chunks)
        output_clear(&client.output, &node.chunks)
        free(client.name)
        free(client.library_name)
        free(client.library_version)
        free(client)

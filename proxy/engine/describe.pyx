# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Describe: writing that line. See describe.pxd."""

from libc.stdint cimport uint32_t
from libc.stdio cimport snprintf

from proxy.engine.slots cimport client_unread
from proxy.engine.types cimport (
    CLIENT_BLOCKED, CLIENT_CLOSING, CLIENT_MULTI, CLIENT_NO_EVICT, CLIENT_NO_TOUCH, CLIENT_PARKED, CLIENT_PAUSED,
    CLIENT_SUBSCRIBER, CLIENT_TRACKING, Client, Conn, Core, Slot,
)
from proxy.wire.input cimport input_length
from proxy.wire.output cimport Output, output_append
from proxy.wire.system cimport AF_INET, AF_INET6, socklen_t

cdef extern from "<arpa/inet.h>" nogil:
    const char* inet_ntop(int family, const void* address, char* text, socklen_t room)


cdef void list_waits(Client* client, char* text, size_t room) noexcept nogil:
    """Where the client waits: the node's index and the connection's id there, `1:22;2:9`, as many as there is room for."""
    cdef Conn* conn = client.privates
    cdef size_t used = 0
    text[0] = 0
    while conn != NULL and room - used > 48:
        if conn.blocking and conn.id:
            used += snprintf(text + used, room - used, b"%s%d:%lld", b";" if used else b"", conn.node.index,
                             <long long> conn.id)
        conn = conn.next_owned


cdef void list_letters(Client* client, char* letters) noexcept nogil:
    """The client's flags as CLIENT LIST abbreviates them, in at most 15 bytes and a zero."""
    cdef int used = 0
    cdef const char* names = b"PxbtceT"
    cdef uint32_t[7] flags = [
        CLIENT_SUBSCRIBER, CLIENT_MULTI, CLIENT_BLOCKED, CLIENT_TRACKING, CLIENT_CLOSING, CLIENT_NO_EVICT, CLIENT_NO_TOUCH,
    ]
    cdef int index
    for index in range(7):
        if client.flags & flags[index]:
            letters[used] = names[index]
            used += 1
    # A request that a pause holds back: Redis counts such a client as blocked.
    if client.flags & CLIENT_PAUSED and client.flags & CLIENT_PARKED and client.head == client.tail:
        letters[used] = c'b'
        used += 1
    letters[used] = 0


cdef void client_describe(Core* core, Client* client, Output* text) noexcept nogil:
    """One line, tab-separated, in the order that control/clients.py takes apart; about 1 us."""
    cdef char line[1024]       # the longest line has 850 bytes: texts are cut, numbers have 20 digits
    cdef char address[64]
    cdef char letters[16]
    cdef char waits[256]
    cdef int length
    cdef const char* none = b""
    cdef size_t room = 0 if client.input.chunk == NULL else client.input.chunk.capacity
    address[0] = 0
    list_letters(client, letters)
    list_waits(client, waits, sizeof(waits))
    if client.family == AF_INET or client.family == AF_INET6:
        inet_ntop(client.family, client.address, address, sizeof(address))
    length = snprintf(
        line, sizeof(line),
        b"%llu\t%s\t%u\t%d\t%.128s\t%llu\t%llu\t%u\t%u\t%.64s\t%.64s\t%zu\t%zu\t%llu\t%u\t%s\t%llu\t%llu\t%d\t%s\t%zu"
        b"\t%zu\t%d\t%s\t%u\n",
        <unsigned long long> client.id, <char*> address, <unsigned int> client.port, client.handle.fd,
        client.name if client.name != NULL else none,
        <unsigned long long> ((core.now_us - client.since_us) // 1000000),
        <unsigned long long> ((core.now_us - client.active_us) // 1000000),
        <unsigned int> client.database, <unsigned int> client.protocol,
        client.library if client.library != NULL else none,
        client.library_version if client.library_version != NULL else none,
        input_length(&client.input), client_unread(client), <unsigned long long> client.commands,
        client.tail - client.head, <char*> core.rows[client.last_row].full_name,
        <unsigned long long> client.received, <unsigned long long> client.sent, client.pool.index,
        letters, room - input_length(&client.input),
        sizeof(Client) + room + client_unread(client) + (
            0 if client.slots == NULL else (client.mask + 1) * sizeof(Slot)),
        <int> (-1 if client.transaction == NULL else client.transaction.queued), waits, client.user.index)
    output_append(text, &core.chunks, line, length)

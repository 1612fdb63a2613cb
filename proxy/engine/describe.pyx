# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Describe: writing that line. See describe.pxd."""

from libc.stdio cimport snprintf

from proxy.engine.slots cimport client_unread
from proxy.engine.types cimport CLIENT_CLOSING, CLIENT_NO_EVICT, CLIENT_NO_TOUCH, Client, Core
from proxy.wire.input cimport input_length
from proxy.wire.output cimport Output, output_append
from proxy.wire.system cimport AF_INET, AF_INET6, socklen_t

cdef extern from "<arpa/inet.h>" nogil:
    const char* inet_ntop(int family, const void* address, char* text, socklen_t room)


cdef void client_describe(Core* core, Client* client, Output* text) noexcept nogil:
    """One line, tab-separated, in the order that control/clients.py takes apart; about 1 us."""
    cdef char line[768]        # the longest line has 600 bytes: texts are cut, numbers have 20 digits
    cdef char address[64]
    cdef int length
    cdef const char* none = b""
    address[0] = 0
    if client.family == AF_INET or client.family == AF_INET6:
        inet_ntop(client.family, client.address, address, sizeof(address))
    length = snprintf(
        line, sizeof(line),
        b"%llu\t%s\t%u\t%d\t%.128s\t%llu\t%llu\t%u\t%u\t%.64s\t%.64s\t%zu\t%zu\t%llu\t%u\t%s\t%llu\t%llu\t%d\t%d\t%d"
        b"\t%d\t%u\n",
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
        <int> ((client.flags & CLIENT_NO_EVICT) != 0), <int> ((client.flags & CLIENT_NO_TOUCH) != 0),
        <int> ((client.flags & CLIENT_CLOSING) != 0), client.user.index)
    output_append(text, &core.chunks, line, length)

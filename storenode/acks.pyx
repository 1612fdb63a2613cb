# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Acks. See acks.pxd. A client that waits is a blocked client whose wait knows a number and a position."""

from libc.limits cimport LLONG_MAX
from libc.stdint cimport uint64_t
from libc.string cimport memset

from proxy.wire.output cimport output_number
from proxy.wire.resp cimport read_number
from storenode.answer cimport answer_error, answer_number
from storenode.arguments cimport take_integer
from storenode.blocked cimport wait_begin, wait_end
from storenode.effects cimport effects_flush, effects_offset
from storenode.replicas cimport replicas_at
from storenode.replication cimport Replication, replication_of
from storenode.types cimport Call, Client, Node, Pop


cdef uint64_t written_at(Node* node, const Client* client) noexcept nogil:
    """Position behind what a client wrote last. What replication itself put into the stream since is counted in."""
    cdef Replication* replication = replication_of(node)
    cdef uint64_t since
    if client.written == 0:
        return 0
    since = effects_offset(node) - client.written
    return replication.history.end - since if since < replication.history.end else 0


cdef void answer_acked(Call* call) noexcept nogil:
    """The time is up: how many are there?"""
    answer_number(call, replicas_at(call.node, call.client.wait.position))


cdef void command_wait(Call* call) noexcept nogil:
    """WAIT numreplicas timeout, in milliseconds; 0: for ever."""
    cdef Node* node = call.node
    cdef Pop pop
    cdef long long wanted, timeout
    cdef uint64_t position
    cdef int count
    if node.primary != NULL:
        answer_error(call, b"ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a "
                           b"replica is configured to be writable (which is not the default) writes to replicas are "
                           b"just local and are not propagated.")
        return
    if not take_integer(call, &call.argv[1], &wanted):
        return
    if not read_number(call.argv[2].data, call.argv[2].length, &timeout) or timeout > LLONG_MAX // 2000:
        answer_error(call, b"ERR timeout is not an integer or out of range")
        return
    if timeout < 0:
        answer_error(call, b"ERR timeout is negative")
        return
    effects_flush(node)
    position = written_at(node, call.client)
    count = replicas_at(node, position)
    if count >= wanted or node.in_exec:
        answer_number(call, count)
        return
    # It waits for no key.
    memset(&pop, 0, sizeof(Pop))
    pop.count.data = b""
    pop.target.data = b""
    wait_begin(call, &pop, NULL, 0, node.now_us + <uint64_t> timeout * 1000 if timeout else 0)
    call.client.wait.in_vain = answer_acked
    call.client.wait.replicas = wanted
    call.client.wait.position = position
    replication_of(node).ask = True


cdef void acks_turn(Node* node) noexcept nogil:
    """Some replica has got further: let those go on who waited for that."""
    cdef Client* client = node.clients
    cdef int count
    replication_of(node).acked = False
    while client != NULL and node.blocked_count:
        if client.wait != NULL and client.wait.in_vain == answer_acked:
            count = replicas_at(node, client.wait.position)
            if count >= client.wait.replicas:
                output_number(&client.output, &node.chunks, c':', count)
                wait_end(node, client)
        client = client.next

# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Acks. See acks.pxd. A client that waits is a blocked client whose wait knows a promise."""

from libc.limits cimport LLONG_MAX
from libc.stdint cimport uint64_t
from libc.string cimport memset

from proxy.wire.resp cimport read_number
from storenode.answer cimport answer_array, answer_error, answer_number
from storenode.arguments cimport take_integer, take_positive
from storenode.blocked cimport wait_begin, wait_cancel
from storenode.effects cimport effects_flush, effects_offset
from storenode.records cimport Promise
from storenode.replicas cimport replicas_at
from storenode.replication cimport Replication, replication_of
from storenode.types cimport Call, Client, Node, Pop, Slice, Wait

cdef const char* NO_LOG = b"ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."


cdef uint64_t written_at(Node* node, const Client* client) noexcept nogil:
    """Position behind what a client wrote last. What replication itself put into the stream since is counted in."""
    cdef Replication* replication = replication_of(node)
    cdef uint64_t since
    if client.written == 0:
        return 0
    since = effects_offset(node) - client.written
    return replication.history.end - since if since < replication.history.end else 0


cdef Promise promised(Call* call) noexcept nogil:
    """That what the caller wrote so far is not lost."""
    effects_flush(call.node)
    return Promise(replicas=0, position=written_at(call.node, call.client), synced=False, local=False,
                   written=call.client.written)


cdef bint take_timeout(Call* call, const Slice* argument, long long* timeout) noexcept nogil:
    """Milliseconds, or answer why not."""
    if not read_number(argument.data, argument.length, timeout) or timeout[0] > LLONG_MAX // 2000:
        answer_error(call, b"ERR timeout is not an integer or out of range")
        return False
    if timeout[0] < 0:
        answer_error(call, b"ERR timeout is negative")
        return False
    return True


cdef bint reached(const Node* node, const Promise* promise) noexcept nogil:
    return (not promise.local or node.log.synced.effects >= promise.written) and (
        replicas_at(node, promise.position, promise.synced) >= promise.replicas)


cdef void answer(Call* call, const Promise* promise) noexcept nogil:
    """How far it is kept."""
    if promise.synced:
        answer_array(call, 2)
        answer_number(call, call.node.log.synced.effects >= promise.written)
    answer_number(call, replicas_at(call.node, promise.position, promise.synced))


cdef void answer_waiting(Call* call) noexcept nogil:
    answer(call, &call.client.wait.promise)


cdef void wait_for(Call* call, const Promise* promise, long long timeout) noexcept nogil:
    """Answer at once if it is so already, or in a transaction, which never waits; else block for `timeout`, 0: for ever."""
    cdef Node* node = call.node
    cdef Pop pop
    if node.in_exec or reached(node, promise):
        answer(call, promise)
        return
    # It waits for no key.
    memset(&pop, 0, sizeof(Pop))
    pop.count.data = b""
    pop.target.data = b""
    wait_begin(call, &pop, NULL, 0, node.now_us + <uint64_t> timeout * 1000 if timeout else 0)
    call.client.wait.in_vain = answer_waiting
    call.client.wait.promise = promise[0]
    replication_of(node).awaited = True
    replication_of(node).ask = True


cdef void command_wait(Call* call) noexcept nogil:
    """WAIT numreplicas timeout, in milliseconds; 0: for ever."""
    cdef Promise promise = promised(call)
    cdef long long timeout
    if call.node.primary != NULL:
        answer_error(call, b"ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a "
                           b"replica is configured to be writable (which is not the default) writes to replicas are "
                           b"just local and are not propagated.")
        return
    if not take_integer(call, &call.argv[1], &promise.replicas) or not take_timeout(call, &call.argv[2], &timeout):
        return
    wait_for(call, &promise, timeout)


cdef void command_waitaof(Call* call) noexcept nogil:
    """WAITAOF numlocal numreplicas timeout: until the log here (numlocal 1) and those of replicas are on disk so far."""
    cdef Promise promise = promised(call)
    cdef long long local, timeout
    if not take_integer(call, &call.argv[1], &local):
        return
    if local < 0 or local > 1:
        answer_error(call, b"ERR value is out of range, must be between 0 and 1")
        return
    if not take_positive(call, &call.argv[2], &promise.replicas) or not take_timeout(call, &call.argv[3], &timeout):
        return
    if call.node.primary != NULL:
        answer_error(call, b"ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas "
                           b"are just local and are not propagated.")
        return
    promise.synced = True
    promise.local = local == 1
    if promise.local and not call.node.log.on:
        answer_error(call, NO_LOG)
        return
    wait_for(call, &promise, timeout)


cdef void acks_turn(Node* node) noexcept nogil:
    """A replica or the log has got further, or the log is switched off: let those go on who waited for that."""
    cdef Replication* replication = replication_of(node)
    cdef Client* client = node.clients if replication.awaited else NULL
    cdef Wait* wait
    replication.acked = False
    replication.awaited = False
    while client != NULL:
        wait = client.wait
        if wait == NULL or wait.in_vain != answer_waiting:
            pass
        elif wait.promise.local and not node.log.on:
            wait_cancel(node, client, NO_LOG)
        elif reached(node, &wait.promise):
            wait_cancel(node, client, NULL)
        else:
            replication.awaited = True
        client = client.next

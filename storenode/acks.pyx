# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Acks. See acks.pxd. A client that waits is a blocked client whose wait knows a promise."""

from libc.limits cimport LLONG_MAX
from libc.stdint cimport uint64_t
from libc.string cimport memset

from proxy.wire.resp cimport read_number
from storenode.answer cimport answer_array, answer_error, answer_number
from storenode.arguments cimport take_integer, take_positive
from storenode.blocked cimport wait_begin, wait_cancel, wait_drop
from storenode.effects cimport effects_flush, effects_offset
from storenode.records cimport Promise
from storenode.replicas cimport replicas_at, replicas_synced_at
from storenode.replication cimport Replication, replication_of
from storenode.types cimport Call, Client, Handler, Node, Pop, Slice, Wait

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
    return Promise(replicas=0, position=written_at(call.node, call.client), local=False, written=call.client.written)


cdef bint take_timeout(Call* call, const Slice* argument, long long* timeout) noexcept nogil:
    """Milliseconds, or answer why not."""
    if not read_number(argument.data, argument.length, timeout) or timeout[0] > LLONG_MAX // 2000:
        answer_error(call, b"ERR timeout is not an integer or out of range")
        return False
    if timeout[0] < 0:
        answer_error(call, b"ERR timeout is negative")
        return False
    return True


cdef void answer_acked(Call* call) noexcept nogil:
    answer_number(call, replicas_at(call.node, call.client.wait.promise.position))


cdef void answer_synced(Call* call) noexcept nogil:
    cdef const Promise* promise = &call.client.wait.promise
    answer_array(call, 2)
    answer_number(call, call.node.log.synced.effects >= promise.written)
    answer_number(call, replicas_synced_at(call.node, promise.position))


cdef bint reached(const Node* node, const Wait* wait) noexcept nogil:
    cdef const Promise* promise = &wait.promise
    if wait.in_vain == answer_acked:
        return replicas_at(node, promise.position) >= promise.replicas
    return (not promise.local or node.log.synced.effects >= promise.written) and (
        replicas_synced_at(node, promise.position) >= promise.replicas)


cdef void wait_for(Call* call, const Promise* promise, Handler answer, long long timeout) noexcept nogil:
    """Answer at once if it is so already, or in a transaction, which never waits; else block for `timeout`, 0: for ever."""
    cdef Node* node = call.node
    cdef Wait* wait
    cdef Pop pop
    # It waits for no key.
    memset(&pop, 0, sizeof(Pop))
    pop.count.data = b""
    pop.target.data = b""
    wait_begin(call, &pop, NULL, 0, node.now_us + <uint64_t> timeout * 1000 if timeout else 0)
    wait = call.client.wait
    wait.in_vain = answer
    wait.promise = promise[0]
    if node.in_exec or reached(node, wait):
        answer(call)
        wait_drop(node, call.client)
        return
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
    wait_for(call, &promise, answer_acked, timeout)


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
    promise.local = local == 1
    if promise.local and not call.node.log.on:
        answer_error(call, NO_LOG)
        return
    wait_for(call, &promise, answer_synced, timeout)


cdef void acks_turn(Node* node) noexcept nogil:
    """A replica or the log has got further, or the log is switched off: let those go on who waited for that."""
    cdef Replication* replication = replication_of(node)
    cdef Client* client = node.clients if replication.awaited else NULL
    cdef Wait* wait
    replication.acked = False
    replication.awaited = False
    while client != NULL:
        wait = client.wait
        if wait == NULL or (wait.in_vain != answer_acked and wait.in_vain != answer_synced):
            pass
        elif wait.promise.local and not node.log.on:
            wait_cancel(node, client, NO_LOG)
        elif reached(node, wait):
            wait_cancel(node, client, NULL)
        else:
            replication.awaited = True
        client = client.next

# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Client: reading, framing and parking requests; sending replies; leaving. See client.pxd.

Back-pressure never stops reading a client that is entitled to write everything before it reads anything. A client
that has too much unread output, or `window` requests at nodes, or a barrier before it, is not *dispatched*: its bytes
are still received and wait in its input (it is *parked*) up to `query_buffer`; only then is its socket left unread.

Input memory is bounded for all clients together (`input_limit`): what an announced argument needs is reserved when
its length is read. Where that does not fit, the client waits in `core.starved`; the longest waiting one is admitted
in any case, one at a time, so that there is always one that can finish; if it sends nothing for PATIENCE_US, the next
one has its turn.
"""

from libc.stdint cimport uint32_t
from libc.stdlib cimport abort, calloc, free

from proxy.engine.combine cimport combine_again
from proxy.engine.cool cimport cool_again
from proxy.engine.dispatch cimport dispatch
from proxy.engine.mail cimport event_post
from proxy.engine.private cimport privates_drop
from proxy.engine.refusals cimport DONE, WAIT
from proxy.engine.rights cimport user_default
from proxy.engine.slots cimport client_ready, client_release, client_unread, slot_local, slots_clear
from proxy.engine.types cimport (
    CLIENT, CLIENT_BARRIER, CLIENT_BLOCKED, CLIENT_BURIED, CLIENT_CLOSING, CLIENT_ENDED, CLIENT_KNOWN, CLIENT_PARKED,
    CLIENT_SILENT, CLIENT_SKIP, CLIENT_STARVED, CLIENT_STUCK, CLIENT_SUBSCRIBER, CLIENT_TRUSTED, CLIENT_UNTOLD, DEAD,
    EVENT_GONE, Client, Core, Pool,
)
from proxy.engine.transaction cimport transaction_drop
from proxy.wire.chunk cimport CHUNK_SIZE
from proxy.wire.input cimport (
    MOVE_AT, READ_END, READ_NOTHING, READ_SOME, input_clear, input_keep, input_length, input_read,
)
from proxy.wire.output cimport WRITE_FAILED, WROTE_SOME, output_clear, output_write
from proxy.wire.poll cimport poll_add, poll_want
from proxy.wire.resp cimport BROKEN, MORE, FrameLimits, frame_request, frame_reset, protocol_error
from proxy.wire.rewrite cimport rewrite_request
from proxy.wire.system cimport EPOLLIN, EPOLLOUT, close

cdef extern from *:
    """
    #define quench_add(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
    #define quench_next_id(p) __atomic_add_fetch((p), 1, __ATOMIC_RELAXED)
    """
    void quench_add(uint32_t* at, int value) nogil
    unsigned long long quench_next_id(unsigned long long* at) nogil


cdef enum:
    FIRST_WINDOW = 64          # requests at nodes before anything is known of a client's replies
    MEAN_SLACK = 4             # times output_soft that expected replies may amount to
    PATIENCE_US = 1000000


# -- coming and going -------------------------------------------------------------------------------------------------

cdef Client* client_open(Core* core, Pool* pool, int fd) noexcept nogil:
    """A client for a connected, non-blocking socket (-1: none, its bytes are fed by hand)."""
    cdef Client* client = <Client*> calloc(1, sizeof(Client))
    if client == NULL:
        abort()
    client.handle.kind = CLIENT
    client.handle.fd = fd
    client.protocol = 2
    client.database = pool.database
    client.pool = pool
    client.id = quench_next_id(<unsigned long long*> core.peers.ids)
    client.since_us = core.now_us
    client.active_us = core.now_us
    client.flags = pool.client_flags
    user_default(client)
    client.after = core.clients
    if core.clients != NULL:
        core.clients.before = client
    core.clients = client
    core.client_count += 1
    pool.clients += 1
    if fd >= 0:
        poll_add(&core.poll, &client.handle, EPOLLIN)
    return client


cdef void client_close(Core* core, Client* client) noexcept nogil:
    """Let go of the socket and of everything owned; the husk stays until nothing points at it any more."""
    if client.handle.kind == DEAD:
        return
    client.handle.kind = DEAD
    if client.handle.fd >= 0:
        close(client.handle.fd)
        client.handle.fd = -1
    if client.before != NULL:
        client.before.after = client.after
    else:
        core.clients = client.after
    if client.after != NULL:
        client.after.before = client.before
    core.client_count -= 1
    client.pool.clients -= 1
    core.counters.closed += 1
    quench_add(&core.peers.clients[core.index], -1)
    transaction_drop(core, client)
    privates_drop(core, client)
    free(client.tracking)
    client.tracking = NULL
    slots_clear(core, client)
    input_clear(&client.input, &core.chunks)
    output_clear(&client.output, &core.chunks)
    if core.privileged == client:
        core.privileged = NULL
    free(client.name)
    free(client.library)
    free(client.library_version)
    client.name = NULL
    client.library = NULL
    client.library_version = NULL
    # The ready list and events of this turn may still name it.
    client_bury(core, client)
    if client.flags & CLIENT_KNOWN:
        client_gone(core, client)


cdef void client_bury(Core* core, Client* client) noexcept nogil:
    """Put a husk into the graveyard, which is looked at when the turn ends."""
    if not client.flags & CLIENT_BURIED:
        client.flags |= CLIENT_BURIED
        client.references += 1
        client.next_grave = core.graveyard
        core.graveyard = client


cdef void client_gone(Core* core, Client* client) noexcept nogil:
    """Tell the control plane that a client it knows has left; while its box is full, the graveyard keeps the husk."""
    client.flags &= ~(<uint32_t> CLIENT_UNTOLD)
    if not event_post(core, EVENT_GONE, client.pool.index, 0, 0, client, 0, client.id, NULL, 0):
        client.flags |= CLIENT_UNTOLD
        client_bury(core, client)


# -- reading ----------------------------------------------------------------------------------------------------------

cdef void interest(Core* core, Client* client) noexcept nogil:
    """Ask the kernel for what can be used."""
    cdef uint32_t wanted = 0
    if client.handle.fd < 0:
        return
    if not client.flags & (CLIENT_ENDED | CLIENT_STARVED | CLIENT_CLOSING):
        if not (client.flags & CLIENT_PARKED and input_length(&client.input) >= client.pool.limits.query_buffer):
            wanted = EPOLLIN
    if client.flags & CLIENT_STUCK:
        wanted |= EPOLLOUT
    poll_want(&core.poll, &client.handle, wanted)


cdef inline bint blocked(Core* core, Client* client) noexcept nogil:
    """May the next request not start now?

    What replies on their way will probably add is counted by their mean size, so that a pipeline of large reads is
    dispatched a few at a time; before a client's first reply, FIRST_WINDOW requests are let go.
    """
    cdef uint32_t in_flight = client.tail - client.head
    cdef size_t unread = client_unread(client)
    if client.flags & (CLIENT_BARRIER | CLIENT_CLOSING | CLIENT_SKIP):
        if client.flags & CLIENT_CLOSING or client.head != client.tail:
            return True
        client.flags &= ~(<uint32_t> CLIENT_BARRIER)
        if client.flags & CLIENT_SKIP and client.commands >= client.skip_until:
            client.flags &= ~(<uint32_t> (CLIENT_SILENT | CLIENT_SKIP))
    if in_flight >= client.pool.limits.window or (in_flight >= FIRST_WINDOW and not client.reply_mean):
        return True
    if unread > client.pool.limits.output_soft:
        return True
    if <size_t> in_flight * client.reply_mean > MEAN_SLACK * client.pool.limits.output_soft:
        return True
    return core.chunks.total > core.output_limit and (unread or in_flight)


cdef void client_readable(Core* core, Client* client) noexcept nogil:
    """One receive, and everything that can be done with it."""
    cdef const char* data
    cdef size_t length
    cdef size_t before = input_length(&client.input)
    cdef int status
    if client.flags & (CLIENT_ENDED | CLIENT_STARVED | CLIENT_CLOSING):
        interest(core, client)
        return
    if before > CHUNK_SIZE and core.input_reserved > core.input_limit and core.privileged != client \
            and client.input.chunk.tail == client.input.chunk.capacity:
        starve(core, client)
        return
    status = input_read(&client.input, &core.chunks, core.scratch, client.handle.fd, &core.input_reserved,
                        &data, &length)
    if status == READ_NOTHING:
        return
    if status == READ_END:
        if client.flags & CLIENT_BLOCKED:
            # Nobody is there to get what it waits for: better that another one does.
            client_close(core, client)
            return
        # What was asked is still answered; then the connection ends.
        client.flags |= CLIENT_ENDED
        client_ready(core, client)
        return
    if status != READ_SOME:
        client_close(core, client)
        return
    client.received += length - before
    core.counters.bytes_in += length - before
    client.active_us = core.now_us
    if core.privileged == client:
        core.privileged_us = core.now_us
    client_take(core, client, data, length)


cdef void client_take(Core* core, Client* client, const char* data, size_t length) noexcept nogil:
    """Start every request that is complete and may start among the `length` unused bytes at `data`."""
    cdef FrameLimits limits
    cdef size_t used = 0
    cdef size_t size
    cdef size_t need = 0
    cdef int status
    cdef int verdict
    cdef uint32_t again
    limits.max_bulk = client.pool.limits.max_bulk
    client.flags &= ~(<uint32_t> CLIENT_PARKED)
    while used < length:
        if blocked(core, client):
            client.flags |= CLIENT_PARKED
            break
        limits.trusted = (client.flags & CLIENT_TRUSTED) != 0
        status = frame_request(&client.frame, data + used, length - used, &limits)
        if status == MORE:
            need = client.frame.need
            break
        if status == BROKEN:
            broken(core, client)
            used = length
            break
        size = client.frame.length
        again = 0
        core.moved = 0
        if client.frame.canonical and client.frame.argc:
            if size >= MOVE_AT and client.input.chunk != NULL and used:
                # Bring the request to the front, so that dispatch may take the chunk.
                input_keep(&client.input, &core.chunks, data, length, used, 0, &core.input_reserved)
                data += used
                length -= used
                used = 0
            verdict = dispatch(core, client, &client.frame)
            if core.joined != NULL:
                again = combine_again(core, client, data + used, size, length - used - size)
            elif core.served != NULL:
                again = cool_again(core, client, data + used, size, length - used - size)
        elif client.frame.canonical:
            verdict = DONE
        else:
            verdict = rewritten(core, client)
        frame_reset(&client.frame)
        if verdict == WAIT:
            client.flags |= CLIENT_PARKED
            break
        client.commands += 1 + again
        core.counters.requests += 1 + again
        if client.handle.kind == DEAD:
            return
        if core.moved:
            length = input_length(&client.input)
            data = NULL if length == 0 else client.input.chunk.data + client.input.chunk.head
            used = 0
        else:
            used += (1 + again) * size
    keep(core, client, data, length, used, need)


cdef void broken(Core* core, Client* client) noexcept nogil:
    """Say what is wrong in Redis's words, then close."""
    cdef char text[128]
    slot_local(core, client, text, protocol_error(&client.frame, text))
    core.counters.protocol_errors += 1
    client.flags |= CLIENT_CLOSING
    frame_reset(&client.frame)


cdef int rewritten(Core* core, Client* client) noexcept nogil:
    """Dispatch the canonical form of an inline command or of a sloppy array; its limits were checked already."""
    cdef int verdict = DONE
    cdef FrameLimits limits
    limits.max_bulk = core.rewritten.length + client.frame.length
    limits.trusted = True
    if rewrite_request(&client.frame, &core.rewritten, &core.chunks) == BROKEN:
        broken(core, client)
    elif core.rewritten.length:
        frame_reset(&core.rewritten_frame)
        frame_request(&core.rewritten_frame, core.rewritten.first.data, core.rewritten.length, &limits)
        verdict = dispatch(core, client, &core.rewritten_frame)
        core.served = NULL
        core.joined = NULL
    output_clear(&core.rewritten, &core.chunks)
    return verdict


cdef void keep(Core* core, Client* client, const char* data, size_t length, size_t used, size_t need) noexcept nogil:
    """Keep what is left, and reserve what the incomplete request needs, if that is allowed now."""
    cdef size_t left = length - used
    cdef size_t have = 0 if client.input.chunk == NULL else client.input.chunk.capacity
    if left > client.pool.limits.query_buffer and not client.flags & CLIENT_PARKED:
        # One request alone is larger than any may be.
        core.counters.query_closed += 1
        client_close(core, client)
        return
    client.need = 0
    if need > CHUNK_SIZE and need > have and core.privileged != client \
            and core.input_reserved - have + need > core.input_limit:
        input_keep(&client.input, &core.chunks, data, length, used, 0, &core.input_reserved)
        client.need = need
        starve(core, client)
        return
    input_keep(&client.input, &core.chunks, data, length, used, need, &core.input_reserved)
    if client.input.chunk == NULL and core.privileged == client:
        core.privileged = NULL
    interest(core, client)


cdef void client_resume(Core* core, Client* client) noexcept nogil:
    """Go on with parked input, if something changed."""
    if client.flags & CLIENT_PARKED and not blocked(core, client) and client.input.chunk != NULL:
        client_take(core, client, client.input.chunk.data + client.input.chunk.head, input_length(&client.input))
        if client.flags & CLIENT_ENDED and not client.flags & CLIENT_PARKED and client.handle.kind != DEAD:
            # What is left may be no whole request: no reply will come by to close this client.
            client_ready(core, client)


# -- input memory -----------------------------------------------------------------------------------------------------

cdef void starve(Core* core, Client* client) noexcept nogil:
    """Stop reading this client until there is memory for what it announced."""
    if not client.flags & CLIENT_STARVED:
        client.flags |= CLIENT_STARVED
        client.references += 1
        client.next_starved = NULL
        if core.starved_last == NULL:
            core.starved_first = client
        else:
            core.starved_last.next_starved = client
        core.starved_last = client
        core.counters.starved += 1
    interest(core, client)


cdef void clients_admit(Core* core) noexcept nogil:
    """Admit waiting clients, longest waiting first, as far as memory goes; the first of all in any case."""
    cdef Client* client
    cdef size_t have
    while core.starved_first != NULL:
        client = core.starved_first
        if client.handle.kind != DEAD and client.input.chunk != NULL:
            have = client.input.chunk.capacity
            if core.input_reserved + (client.need - have if client.need > have else 0) > core.input_limit:
                if core.privileged != NULL and core.now_us - core.privileged_us < PATIENCE_US:
                    return
                core.privileged = client
                core.privileged_us = core.now_us
        core.starved_first = client.next_starved
        if core.starved_first == NULL:
            core.starved_last = NULL
        client.flags &= ~(<uint32_t> CLIENT_STARVED)
        if client.handle.kind != DEAD:
            if client.input.chunk != NULL:
                input_keep(&client.input, &core.chunks, client.input.chunk.data, 0, 0, client.need,
                           &core.input_reserved)
            interest(core, client)
        client_release(core, client)


# -- sending ----------------------------------------------------------------------------------------------------------

cdef bint client_behind(Core* core, Client* client) noexcept nogil:
    """Does a client that the kernel takes no more bytes for owe its end to a limit? Counts that.

    A subscriber is bounded more tightly, because nothing that it does bounds what is pushed to it.
    """
    cdef size_t unread = client_unread(client)
    if unread > client.pool.limits.output_hard:
        core.counters.output_closed += 1
        return True
    if not client.flags & CLIENT_SUBSCRIBER or unread <= client.pool.limits.pubsub_soft:
        client.slow_us = 0
        return False
    if client.slow_us == 0:
        client.slow_us = core.now_us
    if unread > client.pool.limits.pubsub_hard or core.now_us - client.slow_us > client.pool.limits.pubsub_soft_us:
        core.counters.pubsub_closed += 1
        return True
    return False


cdef void client_flush(Core* core, Client* client) noexcept nogil:
    """Send what is owed; afterwards leave, if nothing more is to come, and free what an idle client does not need."""
    cdef size_t before = client.output.length
    cdef int status
    if client.handle.kind == DEAD:
        return
    if before and client.handle.fd >= 0:
        status = output_write(&client.output, &core.chunks, client.handle.fd)
        if status == WRITE_FAILED:
            client_close(core, client)
            return
        client.sent += before - client.output.length
        core.counters.bytes_out += before - client.output.length
        if status == WROTE_SOME:
            client.flags |= CLIENT_STUCK
            if client_behind(core, client):
                client_close(core, client)
                return
        else:
            client.flags &= ~(<uint32_t> CLIENT_STUCK)
            client.slow_us = 0
    if client.head == client.tail:
        if client.slots != NULL:
            slots_clear(core, client)
        if client.output.length == 0 and client.handle.fd >= 0:
            if client.flags & CLIENT_CLOSING or (
                    client.flags & CLIENT_ENDED and not client.flags & CLIENT_PARKED):
                client_close(core, client)
                return
    interest(core, client)

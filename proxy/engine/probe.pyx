# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Probe: an engine without sockets, for tests and the micro-benchmark. No request of a running proxy passes here.

Clients are fed bytes and give bytes, node connections likewise; everything between is the real engine, its Inputs
included: what is fed goes through one socket pair that all of them share, so that it is received as a real read is.
Time stands still until advance(). A node connection of a probe is marked stuck, so the engine never sends: its bytes
stay in its output until sent() takes them, which is what "given to the kernel" means here.

Clients are named by their id, connections by (node, protocol, database, bulk) of the first pool, private ones by (node,
number), the latest first, and the ear of a node is (node, -1). They can only be had of a node that reach() was told of.
"""

import os
import socket

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from proxy.engine.audit cimport audit_heat, audit_pending, audit_shards, audit_waves
from proxy.engine.client cimport client_close, client_open, client_take, starve
from proxy.engine.connection cimport conn_fail, conn_for
from proxy.engine.engine cimport Engine
from proxy.engine.heat cimport ROLE_MARK, ROLE_WAVE, Sketch
from proxy.engine.keys cimport keys_find
from proxy.engine.lookup cimport lookup, lookup_child
from proxy.engine.orders cimport orders_take
from proxy.engine.private cimport private_settle
from proxy.engine.replies cimport conn_take
from proxy.engine.retained cimport retained_sent
from proxy.engine.ring cimport ring_node
from proxy.engine.sketch cimport sketch_count
from proxy.engine.slots cimport client_ready, client_unread
from proxy.engine.turn cimport turn_end
from proxy.engine.types cimport (
    CLIENT_BARRIER, CLIENT_CLOSING, CLIENT_ENDED, CLIENT_PARKED, CLIENT_READY, CLIENT_RESTRICTED, CLIENT_STARVED,
    CONN_CONNECTING, CONN_OPEN, CONNS,
    DATABASES, SLOT_CHUNK, SLOT_HELD, SLOT_MERGING, Client, Conn, Core, Merge, Node, Pending, Row, Slot,
)
from proxy.wire.chunk cimport CHUNK_SIZE, Chunk
from proxy.wire.input cimport READ_SOME, SCRATCH, Input, input_length, input_read
from proxy.wire.output cimport Output, Trail, output_pass
from proxy.wire.poll cimport wake_open
from proxy.wire.resp cimport FRAMED, Frame, FrameLimits, frame_request, frame_reset
from proxy.wire.system cimport CLOCK_MONOTONIC, clock_gettime, close, timespec

STATES = ("idle", "lost", "down", "connecting", "greeting", "open")


cdef class Probe(Engine):
    """An Engine, built and given its pools as any, that is fed by hand instead of being run."""
    cdef int reader            # the ends of the socket pair
    cdef int writer
    cdef int listener          # what private connections connect to, where nobody ever answers; -1: none yet
    cdef bytes address         # its

    def __cinit__(self, *args):
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        self.reader = reader.detach()
        self.writer = writer.detach()
        self.listener = -1

    def __dealloc__(self):
        close(self.reader)
        close(self.writer)
        if self.listener >= 0:
            close(self.listener)

    cdef Client* client(self, uint64_t number) except NULL:
        cdef Client* client = self.core.clients
        while client != NULL:
            if client.id == number:
                return client
            client = client.after
        raise KeyError(f"client {number} is gone")

    cdef Conn* conn(self, tuple name) except NULL:
        cdef Conn* conn
        cdef int left
        if len(name) == 2:
            left = name[1]
            conn = self.core.pools[0].nodes[<int> name[0]].privates
            while conn != NULL and (left > 0 or left < 0 and not conn.ear):
                conn = conn.next_private
                left -= left > 0
        else:
            node, protocol, database, bulk = name
            conn = self.core.pools[0].nodes[<int> node].conns[
                ((<int> protocol - 2) * DATABASES + <int> database) * 2 + <int> bulk]
        if conn == NULL:
            raise KeyError(f"connection {name} was never used")
        return conn

    # -- time and turns ---------------------------------------------------------------------------------------------

    def turn(self, bint busy=False):
        """The end of a turn, after carrying out orders; `busy`: as if other sockets had had something to read."""
        self.core.poll.count = busy
        orders_take(self.core)
        turn_end(self.core)
        self.core.poll.count = 0

    def advance(self, uint64_t us):
        """Let time pass. Deadlines are looked at by the next turn."""
        self.core.now_us += us

    # -- clients ----------------------------------------------------------------------------------------------------

    def open(self, int pool=0, int fd=-1):
        """A new client; its id. With a socket `fd`, which the engine then owns, run_once() serves it as usual."""
        self.core.peers.clients[self.core.index] += 1
        return client_open(self.core, &self.core.pools[pool], fd).id

    def feed(self, uint64_t number, bytes data):
        """The client sends; how many bytes the engine was willing to read. Stops where it leaves the socket unread."""
        cdef Core* core = self.core
        cdef Client* client
        cdef const char* at
        cdef size_t length, before, done = 0
        while done < <size_t> len(data):
            try:
                client = self.client(number)
            except KeyError:
                return done
            if client.flags & (CLIENT_ENDED | CLIENT_STARVED | CLIENT_CLOSING):
                return done
            if client.flags & CLIENT_PARKED and input_length(&client.input) >= client.pool.limits.query_buffer:
                return done
            before = input_length(&client.input)
            # The conditions of client_readable().
            if (before > CHUNK_SIZE and core.input_reserved > core.input_limit and core.privileged != client
                    and client.input.chunk.tail == client.input.chunk.capacity):
                starve(core, client)
                return done
            os.write(self.writer, data[done:done + room_of(&client.input)])
            if input_read(&client.input, &core.chunks, core.scratch, self.reader, &core.input_reserved,
                          &at, &length) != READ_SOME:
                raise AssertionError("what was fed cannot be read")
            client.received += length - before
            core.counters.bytes_in += length - before
            client.active_us = core.now_us
            if core.privileged == client:
                core.privileged_us = core.now_us
            done += length - before
            client_take(core, client, at, length)
        return done

    def end(self, uint64_t number):
        """The client closes its side."""
        cdef Client* client = self.client(number)
        client.flags |= CLIENT_ENDED
        client_ready(self.core, client)

    def take(self, uint64_t number, size_t most=1 << 60):
        """The client reads up to `most` bytes."""
        cdef Client* client = self.client(number)
        found = drain(self.core, &client.output, most, NULL)
        client.sent += len(found)
        client_ready(self.core, client)
        return found

    def close(self, uint64_t number):
        """The client goes away."""
        client_close(self.core, self.client(number))

    def state(self, uint64_t number):
        """What the engine knows of a client: a dict."""
        cdef Client* client = self.client(number)
        return {
            "protocol": client.protocol, "database": client.database, "owed": client.tail - client.head,
            "unread": client_unread(client), "output": client.output.length, "held": client.held_count,
            "input": input_length(&client.input), "need": client.need, "references": client.references,
            "parked": bool(client.flags & CLIENT_PARKED), "starved": bool(client.flags & CLIENT_STARVED),
            "closing": bool(client.flags & CLIENT_CLOSING), "barrier": bool(client.flags & CLIENT_BARRIER),
            "ready": bool(client.flags & CLIENT_READY), "privileged": self.core.privileged == client,
            "commands": client.commands, "slots": client.slots != NULL,
            "restricted": bool(client.flags & CLIENT_RESTRICTED),
        }

    # -- node connections -------------------------------------------------------------------------------------------

    def connect(self, int node, int protocol=2, int database=0, int bulk=0, bytes run=b""):
        """Make a connection OPEN, as if it had been greeted by the process `run`; its name."""
        cdef Conn* conn = conn_for(self.core, &self.core.pools[0].nodes[node], protocol, database, bulk)
        if conn.state != CONN_OPEN:
            conn.handle.fd = wake_open()
            self.opened(conn, run)
        return (node, protocol, database, bulk)

    cdef opened(self, Conn* conn, bytes run):
        conn.state = CONN_OPEN
        conn.refusing = 0
        conn.failures = 0
        conn.why[0] = 0
        memset(conn.run, 0, sizeof(conn.run))
        memcpy(conn.run, <const char*> run, min(len(run), sizeof(conn.run) - 1))
        conn.since_us = self.core.now_us
        conn.used_us = self.core.now_us
        conn.stuck = 1

    def reach(self, int node):
        """From here on private connections to this node can begin to open; open_privates() ends it."""
        cdef Node* place = &self.core.pools[0].nodes[node]
        if self.listener < 0:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind("")
            listener.listen(1000)
            self.address = listener.getsockname()
            self.listener = listener.detach()
        memset(place.socket_address, 0, sizeof(place.socket_address))
        (<unsigned short*> place.socket_address)[0] = <unsigned short> int(socket.AF_UNIX)
        memcpy(place.socket_address + 2, <const char*> self.address, len(self.address))
        place.socket_length = 2 + <uint32_t> len(self.address)

    def open_privates(self, int node, int64_t id=0, bytes run=b""):
        """Make its private connections OPEN that began to, with ids from `id` on; how many."""
        cdef Conn* conn = self.core.pools[0].nodes[node].privates
        cdef int count = 0
        while conn != NULL:
            if conn.state == CONN_CONNECTING:
                self.opened(conn, run)
                conn.id = id + count
                count += 1
            conn = conn.next_private
        return count

    def sent(self, tuple name, size_t most=1 << 60):
        """Give up to `most` queued bytes to "the kernel"; the bytes."""
        cdef Conn* conn = self.conn(name)
        if conn.state != CONN_OPEN:
            return b""
        kept = conn.trail.bytes
        found = drain(self.core, &conn.output, most, &conn.trail if conn.retains else NULL)
        retained_sent(self.core, conn, kept)
        if found:
            conn.flushes += 1
            conn.progress_us = self.core.now_us
            conn.node.bytes_out += len(found)
        return found

    def answer(self, tuple name, bytes data):
        """Bytes come back from the node."""
        cdef Core* core = self.core
        cdef Conn* conn = self.conn(name)
        cdef const char* at
        cdef size_t length, before, done = 0
        while done < <size_t> len(data) and conn.handle.fd >= 0:
            before = input_length(&conn.input)
            os.write(self.writer, data[done:done + room_of(&conn.input)])
            if input_read(&conn.input, &core.chunks, core.scratch, self.reader, NULL, &at, &length) != READ_SOME:
                raise AssertionError("what was fed cannot be read")
            done += length - before
            conn.node.bytes_in += length - before
            conn.progress_us = core.now_us
            conn_take(core, conn, at, length)
        if conn.private:
            private_settle(core, conn)

    def fail(self, tuple name, bytes reason=b"the node closed the connection"):
        """The connection breaks."""
        conn_fail(self.core, self.conn(name), reason)

    def conn_state(self, tuple name):
        """What the engine knows of a connection: a dict."""
        cdef Conn* conn = self.conn(name)
        return {
            "state": STATES[conn.state], "refusing": bool(conn.refusing), "pending": conn.tail - conn.head,
            "expired": conn.expired, "output": conn.output.length, "failures": conn.failures,
            "touched": bool(conn.touched), "stuck": bool(conn.stuck), "id": conn.id, "protocol": conn.protocol,
            "database": conn.database, "ear": bool(conn.ear),
        }

    # -- the parts ----------------------------------------------------------------------------------------------------

    def row(self, list args):
        """The name of the row that dispatch finds for a request; None: unknown."""
        cdef bytes name = args[0]
        # Eight readable bytes whatever the length, as in an input.
        cdef bytes padded = name + b"\0" * 8
        cdef Row* row = lookup(self.core, padded, len(name))
        if row != NULL and row.child_count and len(args) > 1:
            name = args[1]
            row = lookup_child(self.core, row, name, len(name)) or row
        return None if row == NULL else self.names[row.index]

    def keys(self, bytes request, str name):
        """The positions of the keys of a canonical request under the named row; None: it is malformed."""
        cdef Frame frame
        cdef FrameLimits limits
        cdef int count
        frame_reset(&frame)
        limits.max_bulk = 512 << 20
        limits.trusted = True
        if frame_request(&frame, request, len(request), &limits) != FRAMED or not frame.canonical:
            raise ValueError("the request is not canonical")
        count = keys_find(self.core, &self.core.rows[<int> self.names.index(name)], &frame)
        return None if count < 0 else [self.core.keys[index].argument for index in range(count)]

    def audit(self):
        """Check what has to hold between any two calls; returns what does not, in words."""
        cdef Core* core = self.core
        cdef Node* node
        cdef Conn* conn
        cdef Client* client
        cdef Pending* pending
        cdef Slot* slot
        cdef uint32_t number, held
        cdef uint64_t bytes_
        cdef size_t size
        wrong = []
        pointed = {}
        fetches = {}
        open_marks = {}
        waves = set()
        for index in range(core.pool_count):
            for place in range(core.pools[index].node_total):
                node = &core.pools[index].nodes[place]
                for which in range(CONNS):
                    conn = node.conns[which]
                    if conn == NULL:
                        continue
                    bytes_ = conn.head_offset
                    number = conn.head
                    while number != conn.tail:
                        pending = &conn.pending[number & conn.mask]
                        bytes_ += pending.size
                        if pending.client != NULL and number - conn.head < conn.expired:
                            wrong.append(f"node {place}: tombstones are not the first {conn.expired}")
                        if (pending.client == NULL and number - conn.head >= conn.expired
                                and pending.role <= ROLE_MARK and pending.row):
                            wrong.append(f"node {place}: a tombstone is not among the first {conn.expired}")
                        audit_pending(pending, pointed, fetches, open_marks)
                        if pending.role == ROLE_WAVE:
                            waves.add(<size_t> pending.cool)
                        number += 1
                    if bytes_ != conn.queued:
                        wrong.append(f"node {place}: requests of {bytes_ - conn.head_offset} bytes are pending, "
                                     f"{conn.queued - conn.head_offset} expected")
                    if conn.output.length != length_of(&conn.output):
                        wrong.append(f"node {place}: the output's length is wrong")
                    if conn.retains and conn.output.first != NULL and (
                            conn.trail.end + conn.output.first.head != conn.queued - conn.output.length):
                        wrong.append(f"node {place}: what is kept ends at {conn.trail.end}")
                conn = node.privates
                while conn != NULL:
                    number = conn.head
                    while number != conn.tail:
                        audit_pending(&conn.pending[number & conn.mask], pointed, fetches, open_marks)
                        number += 1
                    conn = conn.next_private
        audit_shards(core, pointed)
        wrong += audit_heat(core, pointed, fetches, open_marks) + audit_waves(core, pointed, waves)
        client = core.clients
        while client != NULL:
            held = 0
            size = 0
            number = client.head
            while number != client.tail:
                slot = &client.slots[number & client.mask]
                if slot.state == SLOT_HELD:
                    size += slot.length
                    held += 1
                elif slot.state == SLOT_CHUNK:
                    size += (<Chunk*> slot.at).tail - (<Chunk*> slot.at).head
                    held += 1
                elif slot.state == SLOT_MERGING:
                    size += (<Merge*> slot.at).bytes
                number += 1
            if held != client.held_count or size != client.held_bytes:
                wrong.append(f"client {client.id}: {held} replies of {size} bytes are held, not {client.held_count} "
                             f"of {client.held_bytes}")
            if client.head != client.tail:
                slot = &client.slots[client.head & client.mask]
                if slot.state == SLOT_HELD or slot.state == SLOT_CHUNK:
                    wrong.append(f"client {client.id}: a reply that is first in line is held")
            if client.output.length != length_of(&client.output):
                wrong.append(f"client {client.id}: the output's length is wrong")
            if client.references < <uint32_t> pointed.get(<size_t> client, 0):
                wrong.append(f"client {client.id}: {client.references} references, but "
                             f"{pointed[<size_t> client]} pending requests")
            client = client.after
        return wrong

    # -- measuring ----------------------------------------------------------------------------------------------------

    def time_parts(self, bytes requests, int count, int rounds):
        """Nanoseconds of `rounds` passes over `count` single-key requests: framing, name lookup, key routing."""
        cdef Core* core = self.core
        cdef Frame frame
        cdef FrameLimits limits
        cdef const char* data = requests
        cdef size_t length = len(requests)
        cdef size_t used
        cdef uint64_t began, framed, found, routed
        cdef Frame frames[256]
        cdef int index, turn_number
        cdef uint64_t sink = 0
        cdef Row* row
        if count > 256:
            raise ValueError("at most 256 requests")
        limits.max_bulk = 512 << 20
        limits.trusted = True
        with nogil:
            began = now_ns()
            for turn_number in range(rounds):
                used = 0
                index = 0
                while used < length:
                    frame_reset(&frames[index])
                    frame_request(&frames[index], data + used, length - used, &limits)
                    used += frames[index].length
                    index += 1
            framed = now_ns()
            for turn_number in range(rounds):
                for index in range(count):
                    row = lookup(core, frames[index].data + frames[index].args[0].offset, frames[index].args[0].length)
                    sink += <uint64_t> row.index
            found = now_ns()
            for turn_number in range(rounds):
                for index in range(count):
                    sink += <uint64_t> ring_node(
                        core.pools[0].ring, frames[index].data + frames[index].args[1].offset,
                        frames[index].args[1].length, &core.random_state)
            routed = now_ns()
        core.counters.late_replies += sink & 1    # used, so that the compiler keeps the loops
        return framed - began, found - framed, routed - found

    def time_turns(self, uint64_t number, bytes requests, list replies, int rounds):
        """Nanoseconds of `rounds` turns of one client: taking `requests`, taking the replies of each node, the end.

        `replies` holds, by node, all bytes that answer the pass. Outputs are emptied between the parts; that is
        timed as `kernel`, in place of the system calls that are left out here.
        """
        cdef Core* core = self.core
        cdef Client* client = self.client(number)
        cdef Conn* conns[16]
        cdef const char* data[16]
        cdef size_t length[16]
        cdef int nodes = len(replies)
        cdef int index, node
        cdef uint64_t began, mark, taken = 0, emptied = 0, answered = 0, ended = 0
        cdef const char* input_data = requests
        cdef size_t input_size = len(requests)
        if nodes > 16:
            raise ValueError("at most 16 nodes")
        for node in range(nodes):
            conns[node] = self.conn((node, 2, 0, 0))
            data[node] = <bytes> replies[node]
            length[node] = len(<bytes> replies[node])
        with nogil:
            for index in range(rounds):
                began = now_ns()
                client_take(core, client, input_data, input_size)
                mark = now_ns()
                taken += mark - began
                began = mark
                for node in range(nodes):
                    output_pass(&conns[node].output, &core.chunks, conns[node].output.length,
                                &conns[node].trail if conns[node].retains else NULL)
                mark = now_ns()
                emptied += mark - began
                began = mark
                for node in range(nodes):
                    if length[node]:
                        conn_take(core, conns[node], data[node], length[node])
                mark = now_ns()
                answered += mark - began
                began = mark
                turn_end(core)
                mark = now_ns()
                ended += mark - began
                began = mark
                output_pass(&client.output, &core.chunks, client.output.length, NULL)
                emptied += now_ns() - began
        if client.head != client.tail:
            raise ValueError("the replies do not fit the requests")
        return taken, answered, ended, emptied


cdef class Counts:
    """A sketch by itself."""
    cdef Sketch sketch

    def count(self, uint64_t hash, bint write, uint32_t weight, uint64_t now_us):
        """sketch_count()."""
        return sketch_count(&self.sketch, hash, write, weight, now_us)


cdef inline uint64_t now_ns() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <uint64_t> t.tv_sec * 1000000000 + <uint64_t> t.tv_nsec


cdef size_t room_of(const Input* input) noexcept nogil:
    """How many bytes one receive takes at most; of a full chunk that has to grow first, one."""
    cdef size_t room = SCRATCH
    if input.chunk != NULL:
        room = input.chunk.capacity - input.chunk.tail
    return 1 if room == 0 else room if room < SCRATCH else SCRATCH


cdef size_t length_of(const Output* output) noexcept nogil:
    cdef const Chunk* chunk = output.first
    cdef size_t length = 0
    while chunk != NULL:
        length += chunk.tail - chunk.head
        chunk = chunk.next
    return length


cdef bytes drain(Core* core, Output* output, size_t most, Trail* trail):
    """Take up to `most` bytes off the front."""
    cdef Chunk* chunk = output.first
    cdef list found = []
    cdef size_t size, left
    if most > output.length:
        most = output.length
    left = most
    while left:
        size = chunk.tail - chunk.head
        if size > left:
            size = left
        found.append((chunk.data + chunk.head)[:size])
        left -= size
        chunk = chunk.next
    output_pass(output, &core.chunks, most, trail)
    return b"".join(found)

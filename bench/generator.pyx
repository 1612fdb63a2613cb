# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The load generator's engine: one thread, one epoll, no GIL; a few tens of nanoseconds a request at depth 64.

A request is one memcpy of a prepared text plus the digits of its keys. A reply is walked once, to find its end and to
check its type. Everything else happens once a batch: one send, one receive, one clock reading.

Closed loop: a connection sends `depth` requests, waits for all their replies, and sends again (what a client that
pipelines does, and redis-benchmark -P). Latency counts from just before the batch was built.

Open loop: request n is due n gaps after the start, on connection n mod clients, whatever became of the ones before it.
Latency counts from that moment, so a server that stalls is charged for everything that came due meanwhile (no
coordinated omission). At most `depth` requests of a connection are at the server; what is due beyond that waits here.

The loop returns to Python ten times a second, for signals; the histogram and the counters live in C meanwhile.
"""
import socket
import time
from array import array

from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset, strlen

from bench.frame cimport frame_size, write_digits
from bench.histogram cimport Histogram, record
from bench.sampler cimport KeySampler, draw, random64
from bench.spill cimport Spill, spill_append, spill_set
from bench.system cimport (
    CLOCK_MONOTONIC, EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN,
    EPOLLOUT, MSG_NOSIGNAL, SECOND, SHUT_RDWR, TFD_CLOEXEC, TFD_NONBLOCK, TFD_TIMER_ABSTIME, clock_ns, close,
    epoll_create1, epoll_ctl, epoll_event, epoll_wait, itimerspec, recv, send, shutdown, timerfd_create,
    timerfd_settime,
)

cdef enum:
    EVENTS = 256
    INBOX = 256 * 1024             # bytes of one read
    TIMER = 0xFFFFFFFF             # the timer's index among connections

cdef uint64_t FOREVER = <uint64_t>1 << 63


cdef class Generator:
    """`clients` connections over `addresses` [(host, port)] in turn, each with up to `depth` requests in flight.

    ops: rows (share, text, head, stride, key_at, value_at, elements, owed, reply) as `bench.load` prepares them; digits: the
    width of a key's number; keys: a KeySampler; sequential: keys 0, 1, 2 … instead; check: a GET must return what SET
    wrote; tally: count the requests of each key; in_turn: of each `depth` requests that a connection sends
    together the first is of the first operation, and so on. Raises OSError when a connection cannot be opened.
    Not thread-safe, except that `answered` may be read from another thread while `run` is on its way.
    """

    def __cinit__(self, addresses, uint32_t clients, uint32_t depth, ops, int digits, KeySampler keys not None,
                  bint sequential=False, bint check=False, bint tally=False, bint in_turn=False):
        cdef uint32_t capacity = 1
        cdef uint32_t index
        cdef size_t largest = 0
        cdef epoll_event event
        cdef double share = 0
        self.epoll = self.timer = -1
        if clients < 1 or depth < 1 or not addresses or not 1 <= len(ops) <= MAX_OPS:
            raise ValueError(f"a load needs an address, a client, a depth of one and 1 to {MAX_OPS} operations")
        self.clients, self.depth, self.digits = clients, depth, digits
        self.sequential, self.check, self.in_turn = sequential, check, in_turn
        self.addresses, self.keys, self.histogram = list(addresses), keys, Histogram()
        self.sampler = &keys.sampler
        self.texts = [row[1] for row in ops]
        for index, row in enumerate(ops):
            share += row[0]
            self.ops[index].upto = <uint32_t>min(share * 4294967296.0, 4294967295.0)
            self.ops[index].text = self.texts[index]
            self.ops[index].size = len(row[1])
            (self.ops[index].head, self.ops[index].stride, self.ops[index].key_at, self.ops[index].value_at,
             self.ops[index].elements, self.ops[index].owed, self.ops[index].reply) = row[2:]
            largest = max(largest, self.ops[index].size)
        self.op_count = len(ops)
        self.ops[self.op_count - 1].upto = <uint32_t>0xFFFFFFFF
        while capacity < depth:
            capacity *= 2
        self.slot_mask = capacity - 1
        self.out_room = largest * depth
        self.out = <char*>malloc(self.out_room)
        self.inbox = <char*>malloc(INBOX)
        self.touched = <uint32_t*>malloc(clients * sizeof(uint32_t))
        self.conns = <Conn*>calloc(clients, sizeof(Conn))
        if self.out == NULL or self.inbox == NULL or self.touched == NULL or self.conns == NULL:
            raise MemoryError
        if tally:
            self.tallies = <uint32_t*>malloc(self.op_count * <size_t>self.sampler.keys * sizeof(uint32_t))
            if self.tallies == NULL:
                raise MemoryError
        for index in range(clients):
            self.conns[index].fd = -1
            self.conns[index].slots = <Slot*>malloc(capacity * sizeof(Slot))
            if self.conns[index].slots == NULL:
                raise MemoryError
        self.sockets = [None] * clients
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        self.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)
        if self.epoll < 0 or self.timer < 0:
            raise OSError(errno, "bench: cannot make an epoll or a timer (out of file descriptors?)")
        event.events = EPOLLIN | EPOLLET      # edge: setting the timer again rearms it, so it is never read
        event.data.u32 = TIMER
        epoll_ctl(self.epoll, EPOLL_CTL_ADD, self.timer, &event)
        for index in range(clients):
            self._open(index)

    def __dealloc__(self):
        cdef uint32_t index
        if self.conns != NULL:
            for index in range(self.clients):
                free(self.conns[index].slots)
                free(self.conns[index].unsent.data)
                free(self.conns[index].partial.data)
        free(self.conns)
        free(self.tallies)
        free(self.touched)
        free(self.out)
        free(self.inbox)
        if self.epoll >= 0:
            close(self.epoll)
        if self.timer >= 0:
            close(self.timer)

    def close(self):
        """Close every connection; the counters stay readable."""
        cdef uint32_t index
        for index in range(self.clients):
            self.conns[index].fd = -1
            self.connected = 0
            if self.sockets[index] is not None:
                self.sockets[index].close()
                self.sockets[index] = None

    @property
    def answered(self) -> int:
        return self.answered_

    def tally(self, int op) -> array:
        """How many requests of operation `op` the last run sent for each key (array of type I)."""
        cdef size_t size = self.sampler.keys * sizeof(uint32_t)
        if self.tallies == NULL or not 0 <= op < self.op_count:
            raise ValueError("nothing was counted for it")
        return array("I", (<char*>(self.tallies + <size_t>op * self.sampler.keys))[:size])

    cdef void _open(self, uint32_t index) except *:
        cdef Conn* conn = &self.conns[index]
        cdef epoll_event event
        if self.sockets[index] is not None:
            self.sockets[index].close()
        link = socket.create_connection(self.addresses[index % len(self.addresses)], timeout=10)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.setblocking(False)
        self.sockets[index] = link
        conn.fd = link.fileno()
        self.connected += 1
        conn.blocked = conn.touched = False
        conn.first = conn.in_flight = 0
        conn.unsent.size = conn.partial.size = 0
        event.events = EPOLLIN
        event.data.u32 = index
        epoll_ctl(self.epoll, EPOLL_CTL_ADD, conn.fd, &event)

    def run(self, seconds=None, requests=None, double rate=0.0, double grace=5.0):
        """Send for `seconds` or until `requests` were started, whichever comes first; then take the replies still owed.

        They get `grace` seconds; without `seconds`, they get it again from each reply. rate: requests a second in all,
        open loop; 0: closed loop. Returns a dict of counters and the Histogram, all of this run alone. Connections that
        broke are opened again by the next run.
        """
        cdef uint32_t index
        cdef uint64_t now
        cdef uint64_t patience = <uint64_t>(grace * SECOND)
        cdef Histogram histogram
        cdef bint over = False
        if seconds is None and requests is None:
            raise ValueError("a run needs seconds or requests, or it never ends")
        for index in range(self.clients):
            if self.conns[index].fd < 0:
                self._open(index)
            self.conns[index].arrived = self.conns[index].sent = 0
        histogram = Histogram()
        self.histogram = histogram
        self.counts = &histogram.counts
        self.answered_ = self.nils = self.errors = self.lost = 0
        self.in_flight = self.waiting = self.arrivals = self.next_key = 0
        self.error_size = 0
        self.touched_count = 0
        if self.tallies != NULL:
            memset(self.tallies, 0, self.op_count * <size_t>self.sampler.keys * sizeof(uint32_t))
        self.quota = FOREVER if requests is None else <uint64_t>requests
        self.gap = SECOND / rate if rate > 0 else 0.0
        cpu = time.thread_time_ns()
        self.started = self.last_reply = clock_ns()
        self.ends = FOREVER if seconds is None else self.started + <uint64_t>(seconds * SECOND)
        if self.gap == 0:
            for index in range(self.clients):
                self.send_some(index, clock_ns())
        while not over:
            with nogil:
                over = self.step(clock_ns() + SECOND // 10, patience)
            PyErr_CheckSignals()
        now = clock_ns()
        for index in range(self.clients):
            if self.conns[index].in_flight or self.conns[index].arrived > self.conns[index].sent:
                self.drop(index, now, b"no reply before the run ended")
        return {
            "answered": self.answered_,
            "nils": self.nils,
            "errors": self.errors,
            "lost": self.lost,
            "first_error": self.error_text[:self.error_size].decode("utf-8", "replace"),
            "seconds": (self.last_reply - self.started) / 1e9,
            "cpu_seconds": (time.thread_time_ns() - cpu) / 1e9,
            "histogram": self.histogram,
        }

    cdef bint step(self, uint64_t slice_end, uint64_t patience) noexcept nogil:
        """Turns of the loop until slice_end; True when the run is over."""
        cdef epoll_event events[EVENTS]
        cdef uint64_t now, wake
        cdef int count, i
        cdef uint32_t index
        while True:
            now = clock_ns()
            if self.gap > 0:
                self.come_due(now)
            if self.in_flight + self.waiting == 0 and (self.quota == 0 or now >= self.ends):
                return True
            if self.connected == 0 or self.in_flight + self.waiting > 0 and now >= patience + (
                    self.ends if self.ends < FOREVER else self.last_reply):
                return True
            if now >= slice_end:
                return False
            wake = slice_end
            if now < self.ends:
                wake = min(wake, self.ends)
                if self.gap > 0 and self.quota > 0:
                    self.arm_timer(self.started + <uint64_t>(self.arrivals * self.gap))
            count = epoll_wait(self.epoll, events, EVENTS, <int>((wake - now) // 1_000_000) + 1)
            if count < 0:
                return False        # EINTR: let Python look at the signal
            for i in range(count):
                index = events[i].data.u32
                if index == TIMER or self.conns[index].fd < 0:
                    continue
                if events[i].events & EPOLLOUT and self.conns[index].blocked:
                    self.write_out(index, self.conns[index].unsent.data + self.conns[index].unsent.start,
                                   self.conns[index].unsent.size)
                if events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP) and self.conns[index].fd >= 0:
                    self.read_in(index)

    # ── what to send, and when ────────────────────────────────────────────────────────────────────

    cdef void come_due(self, uint64_t now) noexcept nogil:
        """Open loop: hand out every request that is due by now, then send what the connections may."""
        cdef uint64_t due
        cdef uint32_t index, i
        while self.quota > 0:
            due = self.started + <uint64_t>(self.arrivals * self.gap)
            if due > now or due >= self.ends:
                break
            index = <uint32_t>(self.arrivals % self.clients)
            self.arrivals += 1
            self.quota -= 1
            self.conns[index].arrived += 1
            self.waiting += 1
            if not self.conns[index].touched:
                self.conns[index].touched = True
                self.touched[self.touched_count] = index
                self.touched_count += 1
        for i in range(self.touched_count):
            index = self.touched[i]
            self.conns[index].touched = False
            if self.conns[index].fd < 0:
                self.drop(index, now, b"the connection is closed")
            else:
                self.send_some(index, now)
        self.touched_count = 0

    cdef void arm_timer(self, uint64_t at) noexcept nogil:
        """Wake epoll_wait at `at`: its own timeout has whole milliseconds, and polling would take a core."""
        cdef itimerspec when
        when.it_interval.tv_sec = when.it_interval.tv_nsec = 0
        when.it_value.tv_sec = <long>(at // SECOND)
        when.it_value.tv_nsec = <long>(at % SECOND)
        timerfd_settime(self.timer, TFD_TIMER_ABSTIME, &when, NULL)

    cdef uint64_t due_of(self, uint32_t index, uint64_t nth) noexcept nogil:
        """Open loop: when the nth request of a connection comes due."""
        return self.started + <uint64_t>((nth * self.clients + index) * self.gap)

    cdef void send_some(self, uint32_t index, uint64_t now) noexcept nogil:
        """Send what this connection may: closed loop, a batch once the last is answered; open loop, what is due."""
        cdef Conn* conn = &self.conns[index]
        cdef char* at = self.out
        cdef uint64_t room = self.depth - conn.in_flight
        cdef uint64_t count
        if conn.blocked:
            return
        if self.gap > 0:
            count = min(room, conn.arrived - conn.sent)
            for _ in range(count):
                at = self.build(conn, at, self.due_of(index, conn.sent))
                conn.sent += 1
            self.waiting -= count
        elif conn.in_flight == 0 and now < self.ends:
            count = min(room, self.quota)
            for _ in range(count):
                at = self.build(conn, at, now)
            self.quota -= count
        else:
            return
        self.in_flight += count
        if count:
            self.write_out(index, self.out, at - self.out)

    cdef char* build(self, Conn* conn, char* at, uint64_t due) noexcept nogil:
        """Append one request at `at`; returns the end."""
        cdef Slot* slot = &conn.slots[(conn.first + conn.in_flight) & self.slot_mask]
        cdef Op* op = self.ops
        cdef char* element
        cdef uint32_t key, i, lot
        slot.op = 0
        if self.in_turn:
            slot.op = <uint32_t>conn.in_flight % <uint32_t>self.op_count
            op += slot.op
        elif self.op_count > 1:
            lot = <uint32_t>random64(self.sampler)
            while lot > op.upto:
                op += 1
                slot.op += 1
        memcpy(at, op.text, op.size)
        element = at + op.head
        for i in range(op.elements):
            if self.sequential:
                key = <uint32_t>(self.next_key % self.sampler.keys)
                self.next_key += 1
            else:
                key = draw(self.sampler)
            if i == 0:
                slot.key = key
            if self.tallies != NULL:
                self.tallies[<size_t>slot.op * self.sampler.keys + key] += 1
            write_digits(element + op.key_at + self.digits, key)
            if op.value_at >= 0:
                write_digits(element + op.value_at + self.digits, key)
            element += op.stride
        slot.due = due
        conn.in_flight += 1
        return at + op.size

    # ── sockets ───────────────────────────────────────────────────────────────────────────────────

    cdef void write_out(self, uint32_t index, const char* data, size_t size) noexcept nogil:
        """Send data; what the kernel does not take waits in the connection's spill for EPOLLOUT."""
        cdef Conn* conn = &self.conns[index]
        cdef ssize_t done
        while size > 0:
            done = send(conn.fd, data, size, MSG_NOSIGNAL)
            if done < 0:
                if errno == EINTR:
                    continue
                if errno != EAGAIN or not spill_set(&conn.unsent, data, size):
                    self.drop(index, clock_ns(), b"the connection broke while sending")
                    return
                break
            data += done
            size -= done
        if size == 0:
            conn.unsent.size = 0
        if conn.blocked != (size > 0):
            conn.blocked = size > 0
            self.watch(index, conn.blocked)
            if not conn.blocked:
                self.send_some(index, clock_ns())

    cdef void watch(self, uint32_t index, bint writable) noexcept nogil:
        cdef epoll_event event
        event.events = EPOLLIN | (EPOLLOUT if writable else 0)
        event.data.u32 = index
        epoll_ctl(self.epoll, EPOLL_CTL_MOD, self.conns[index].fd, &event)

    cdef void read_in(self, uint32_t index) noexcept nogil:
        """One read, the replies in it, and the requests that they make room for."""
        cdef Conn* conn = &self.conns[index]
        cdef Spill* partial = &conn.partial
        cdef size_t used
        cdef ssize_t got
        cdef uint64_t now
        cdef bint kept
        got = recv(conn.fd, self.inbox, INBOX, 0)
        if got < 0 and (errno == EAGAIN or errno == EINTR):
            return
        now = clock_ns()
        if got <= 0:
            self.drop(index, now, b"the server closed the connection")
            return
        if partial.size == 0:
            used = self.take_replies(index, self.inbox, got, now)
            kept = conn.fd < 0 or used == <size_t>got or spill_set(partial, self.inbox + used, got - used)
        else:
            kept = spill_append(partial, self.inbox, got)
            if kept:
                used = self.take_replies(index, partial.data + partial.start, partial.size, now)
                partial.start += used
                partial.size -= used
        if not kept:
            self.drop(index, now, b"out of memory")
        if conn.fd >= 0:
            self.send_some(index, now)

    cdef void drop(self, uint32_t index, uint64_t now, const char* why) noexcept nogil:
        """Give a connection up: what it owes is lost, and charged its age so far: losing it cannot look fast."""
        cdef Conn* conn = &self.conns[index]
        cdef uint64_t due
        while conn.in_flight > 0:
            due = conn.slots[conn.first & self.slot_mask].due
            record(self.counts, now - due if now > due else 0)
            conn.first += 1
            conn.in_flight -= 1
            self.in_flight -= 1
            self.lost += 1
        while conn.arrived > conn.sent:
            due = self.due_of(index, conn.sent)
            record(self.counts, now - due if now > due else 0)
            conn.sent += 1
            self.waiting -= 1
            self.lost += 1
        self.complain(why, strlen(why))
        if conn.fd >= 0:
            shutdown(conn.fd, SHUT_RDWR)          # the socket object closes it, when the connection is opened again
            epoll_ctl(self.epoll, EPOLL_CTL_DEL, conn.fd, NULL)
            conn.fd = -1
            self.connected -= 1

    # ── replies ───────────────────────────────────────────────────────────────────────────────────

    cdef size_t take_replies(self, uint32_t index, const char* data, size_t size, uint64_t now) noexcept nogil:
        """Count every whole reply in data; returns the bytes used."""
        cdef Conn* conn = &self.conns[index]
        cdef const char* at = data
        cdef const char* end = data + size
        cdef Slot* slot
        cdef int64_t frame
        cdef uint64_t taken = 0
        while at < end:
            frame = frame_size(at, end)
            if frame == 0:
                break
            if frame < 0 or conn.in_flight == 0:
                self.drop(index, now, b"a reply is not RESP2" if frame < 0 else b"a reply that nobody asked for")
                break
            slot = &conn.slots[conn.first & self.slot_mask]
            self.verify(&self.ops[slot.op], slot, at, frame)
            record(self.counts, now - slot.due if now > slot.due else 0)
            conn.first += 1
            conn.in_flight -= 1
            taken += 1
            at += frame
        self.in_flight -= taken
        self.answered_ += taken
        if taken:
            self.last_reply = now
        return at - data

    cdef void verify(self, Op* op, Slot* slot, const char* frame, size_t size) noexcept nogil:
        """Count a reply that is not what its request should get as an error, and a nil as a nil."""
        cdef char digits[24]
        cdef const char* value
        cdef int i
        cdef uint32_t count = 0
        if op.reply == REPLY_BULK:
            if frame[0] == b"$":
                if frame[1] == b"-":
                    self.nils += 1
                elif self.check:
                    value = frame
                    while value[0] != b"\n":
                        value += 1
                    for i in range(self.digits):
                        digits[i] = b"0"
                    write_digits(digits + self.digits, slot.key)
                    if frame + size - 3 - value < <int64_t>self.digits or memcmp(value + 1, digits, self.digits):
                        self.errors += 1
                        self.complain(b"GET returned another key's value", 32)
                return
        elif op.reply == REPLY_OK:
            if size == 5 and memcmp(frame, b"+OK\r\n", 5) == 0:
                return
        elif op.reply == REPLY_INTEGER:
            if frame[0] == b":":
                return
        elif frame[0] == b"*":
            value = frame + 1
            while 48 <= value[0] <= 57:
                count = count * 10 + (value[0] - 48)
                value += 1
            if count == op.owed:
                return
        self.errors += 1
        for i in range(<int>min(size, <size_t>ERROR_TEXT)):
            if frame[i] == b"\r":
                size = i
                break
        self.complain(frame, size)

    cdef void complain(self, const char* text, size_t size) noexcept nogil:
        """Keep the first error's text."""
        if self.error_size == 0:
            self.error_size = min(size, <size_t>ERROR_TEXT)
            memcpy(self.error_text, text, self.error_size)

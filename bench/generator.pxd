# cython: language_level=3
"""The structs of the load generator. The Generator owns every array; a Conn owns its slots and its two spills."""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from bench.histogram cimport Counts
from bench.sampler cimport Sampler
from bench.spill cimport Spill

cdef enum:
    MAX_OPS = 8
    ERROR_TEXT = 200

cdef enum Reply:                   # what an operation's reply has to be
    REPLY_OK                       # +OK
    REPLY_BULK                     # a bulk string or nil
    REPLY_INTEGER
    REPLY_ARRAY                    # of `owed` elements

cdef struct Op:
    uint32_t upto                  # drawn when the low half of a random number is at or below this
    int reply                      # Reply
    uint32_t elements              # keys in one request
    uint32_t owed                  # elements of an array reply
    const char* text               # the whole request with zeros for keys (borrowed from a bytes object)
    size_t size
    size_t head                    # bytes before the first element
    size_t stride                  # bytes of one element
    size_t key_at                  # where the key's digits start in an element
    int64_t value_at               # where the value's do; -1: no value, or one too short to carry them

cdef struct Slot:                  # a request in flight
    uint64_t due                   # ns, when it was meant to be sent: latency counts from here
    uint32_t key                   # its first key
    uint32_t op

cdef struct Conn:
    int fd                         # -1: closed
    bint blocked                   # the kernel took only part of a batch; EPOLLOUT is on
    bint touched                   # is in the list of connections that arrivals came to
    Slot* slots                    # ring of in-flight requests, a power of two
    uint32_t first
    uint32_t in_flight
    uint64_t arrived               # open loop: requests that came due on this connection
    uint64_t sent                  # open loop: of those, sent
    Spill unsent
    Spill partial

cdef class Generator:
    cdef Conn* conns
    cdef uint32_t clients
    cdef uint32_t connected
    cdef uint32_t depth
    cdef uint32_t slot_mask
    cdef Op ops[MAX_OPS]
    cdef int op_count
    cdef int digits
    cdef bint check
    cdef bint in_turn
    cdef bint sequential
    cdef uint32_t* tallies         # requests of this run by operation and key; NULL: they are not counted
    cdef Sampler* sampler          # of self.keys
    cdef Counts* counts            # of self.histogram
    cdef object histogram, keys, addresses, sockets, texts
    cdef int epoll, timer
    cdef char* out                 # one batch being built, shared
    cdef size_t out_room
    cdef char* inbox               # one read, shared
    # the run
    cdef uint64_t started, ends    # ns; ends: no request is started or comes due from here on
    cdef uint64_t last_reply       # ns
    cdef uint64_t quota            # requests still allowed to start
    cdef uint64_t next_key         # sequential keys
    cdef double gap                # ns between arrivals; 0: closed loop
    cdef uint64_t arrivals         # open loop: requests that came due
    cdef uint64_t waiting          # open loop: due, not sent
    cdef uint64_t in_flight
    cdef uint64_t answered_, nils, errors, lost
    cdef uint32_t* touched         # open loop: connections that arrivals came to in this turn
    cdef uint32_t touched_count
    cdef char error_text[ERROR_TEXT]
    cdef size_t error_size

    cdef void _open(self, uint32_t index) except *
    cdef bint step(self, uint64_t slice_end, uint64_t patience) noexcept nogil
    cdef void come_due(self, uint64_t now) noexcept nogil
    cdef void arm_timer(self, uint64_t at) noexcept nogil
    cdef uint64_t due_of(self, uint32_t index, uint64_t nth) noexcept nogil
    cdef void send_some(self, uint32_t index, uint64_t now) noexcept nogil
    cdef char* build(self, Conn* conn, char* at, uint64_t due) noexcept nogil
    cdef void write_out(self, uint32_t index, const char* data, size_t size) noexcept nogil
    cdef void watch(self, uint32_t index, bint writable) noexcept nogil
    cdef void read_in(self, uint32_t index) noexcept nogil
    cdef size_t take_replies(self, uint32_t index, const char* data, size_t size, uint64_t now) noexcept nogil
    cdef void verify(self, Op* op, Slot* slot, const char* frame, size_t size) noexcept nogil
    cdef void complain(self, const char* text, size_t size) noexcept nogil
    cdef void drop(self, uint32_t index, uint64_t now, const char* why) noexcept nogil

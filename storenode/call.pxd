# cython: language_level=3
"""Call: running one command whose row and arguments are known and allowed.

Every command that is executed passes call_invoke(): a client's, each of a transaction's block (node.in_exec is set
while they run), and what a blocked client is served with. Afterwards call.row and call.argv are the command's effect,
which is not always what was asked: a blocking pop leaves the LPOP, ZPOPMIN or LMOVE there that it came to. The stream of
effects (effects.pxd) takes them from here; EXEC's block is one of its blocks.
"""

from libc.stdint cimport uint64_t

from proxy.wire.resp cimport ARGS_KEPT, Frame, args_begin, args_next
from proxy.wire.system cimport monotonic_us
from storenode.effects cimport effects_follow
from storenode.invalidation cimport tracking_remember
from storenode.types cimport FAST, READONLY, Call, Handler, Node, Row

cdef enum:
    ARGV_KEPT = 4096           # slices kept between requests; a longer array is given back
    TIMED_EVERY = 64           # FAST commands whose time is taken; a power of two

cdef void call_room(Node* node, size_t argc) noexcept nogil


cdef inline void call_read(Node* node, const Frame* frame) noexcept nogil:
    """Make the arguments of a canonical request those of node.call; they are borrowed from the request."""
    cdef unsigned int index
    cdef const char* at
    if frame.argc > node.argv_room:
        call_room(node, frame.argc)
    if frame.argc <= ARGS_KEPT:
        for index in range(frame.argc):
            node.argv[index].data = frame.data + frame.args[index].offset
            node.argv[index].length = frame.args[index].length
    else:
        at = args_begin(frame)
        for index in range(frame.argc):
            at = args_next(at, &node.argv[index].data, &node.argv[index].length)
    node.call.argv = node.argv
    node.call.argc = <int> frame.argc
    node.call.failed = False


cdef inline void call_invoke(Call* call, Handler handler) noexcept nogil:
    handler(call)
    if call.node.effects.consumers:
        effects_follow(call)


cdef inline void call_becomes(Call* call, Handler handler) noexcept nogil:
    """From here on the call is that of another command's row."""
    cdef Row* row = call.node.rows
    while row.handler != handler:
        row += 1
    call.row = row


cdef inline void call_run(Call* call, Row* row) noexcept nogil:
    """Run a command and count it."""
    cdef Node* node = call.node
    cdef uint64_t started
    cdef bint timed = not row.flags & FAST or node.stats.commands & (TIMED_EVERY - 1) == 0
    call.row = row
    started = monotonic_us() if timed else 0
    call_invoke(call, row.handler)
    if timed:
        row.usec += (monotonic_us() - started) * (TIMED_EVERY if row.flags & FAST else 1)
    if call.client.tracking and row.flags & READONLY:
        tracking_remember(call)
    row.calls += 1
    node.stats.commands += 1
    if call.failed:
        row.failed += 1

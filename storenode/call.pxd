# cython: language_level=3
"""Call: running one command whose row and arguments are known and allowed.

Every command that is executed passes call_invoke(): a client's, each of a transaction's block (node.in_exec is set
while they run), and what a blocked client is served with. Afterwards call.row and call.argv are the command's effect,
which is not always what was asked: a blocking pop leaves the LPOP, ZPOPMIN or LMOVE there that it came to. The stream of
effects (effects.pxd) takes them from here; EXEC's block is one of its blocks.
"""

from libc.stdint cimport uint64_t

from proxy.wire.resp cimport ARGS_KEPT, Frame, args_begin, args_next
from storenode.clock cimport cycles
from storenode.effects cimport effects_follow, effects_offset
from storenode.invalidation cimport tracking_remember
from storenode.latency cimport latency_count
from storenode.slowlog cimport slow_seen
from storenode.types cimport ADMIN, LATENCY_TRACKING, READONLY, Call, Handler, Node, Row

cdef enum:
    ARGV_KEPT = 4096           # slices kept between requests; a longer array is given back

cdef void call_room(Node* node, size_t argc) noexcept nogil
cdef void call_monitored(Call* call, Row* row) noexcept nogil


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
    cdef uint64_t before = effects_offset(call.node)
    handler(call)
    if call.node.effects.consumers:
        effects_follow(call)
        if effects_offset(call.node) != before:
            call.client.written = effects_offset(call.node)


cdef inline void call_becomes(Call* call, Handler handler) noexcept nogil:
    """From here on the call is that of another command's row."""
    cdef Row* row = call.node.rows
    while row.handler != handler:
        row += 1
    call.row = row


cdef inline void call_run(Call* call, Row* row) noexcept nogil:
    """Run a command and count it: how often, how long, how it ended."""
    cdef Node* node = call.node
    cdef uint64_t started, spent
    call.row = row
    started = cycles()
    if node.monitors != NULL and not row.flags & ADMIN:
        call_monitored(call, row)
    else:
        call_invoke(call, row.handler)
    spent = cycles() - started
    row.cycles += spent
    if node.settings[LATENCY_TRACKING]:
        latency_count(row, spent)
    if spent >= node.slow_cycles:
        slow_seen(call, row, spent)
    if call.client.tracking and row.flags & READONLY:
        tracking_remember(call)
    row.calls += 1
    node.stats.commands += 1
    if call.failed:
        row.failed += 1

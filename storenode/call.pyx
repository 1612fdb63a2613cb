# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Call: taking a request's arguments apart, and running its handler. See call.pxd."""

from libc.stdint cimport uint64_t
from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, free, malloc

from proxy.wire.resp cimport ARGS_KEPT, Frame, args_begin, args_next
from proxy.wire.system cimport monotonic_us
from storenode.invalidation cimport tracking_remember
from storenode.types cimport FAST, READONLY, Call, Node, Row, Slice

cdef enum:
    TIMED_EVERY = 64           # FAST commands whose time is taken; a power of two


cdef void call_read(Node* node, const Frame* frame) noexcept nogil:
    """Make the arguments of a canonical request those of node.call; they are borrowed from the request."""
    cdef unsigned int index
    cdef const char* at
    if frame.argc > node.argv_room:
        free(node.argv)
        node.argv_room = frame.argc if frame.argc > ARGV_KEPT else ARGV_KEPT
        node.argv = <Slice*> malloc(node.argv_room * sizeof(Slice))
        if node.argv == NULL:
            fprintf(stderr, "quench: out of memory for a request of %u arguments\n", frame.argc)
            abort()
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


cdef void call_run(Call* call, Row* row) noexcept nogil:
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

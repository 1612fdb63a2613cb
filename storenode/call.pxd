# cython: language_level=3
"""Call: running one command whose row and arguments are known and allowed.

Every command that is executed passes call_invoke(): a client's, each of a transaction's block (node.in_exec is set
while they run), and what a blocked client is served with. Afterwards call.row and call.argv are the command's effect,
which is not always what was asked: a blocking pop leaves the LPOP, ZPOPMIN or LMOVE there that it came to. The stream of
effects (effects.pxd) takes them from here; EXEC's block is one of its blocks.
"""

from libc.stdint cimport uint64_t

from proxy.wire.resp cimport Frame
from storenode.effects cimport effects_follow, effects_offset
from storenode.types cimport Call, Handler, Node, Row

cdef enum:
    ARGV_KEPT = 4096           # slices kept between requests; a longer array is given back

cdef void call_read(Node* node, const Frame* frame) noexcept nogil
cdef void call_run(Call* call, Row* row) noexcept nogil


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

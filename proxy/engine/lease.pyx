# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Lease: a reply that may not be acknowledged becomes an error that says so. See lease.pxd."""

from libc.stdint cimport uint32_t
from libc.string cimport memset

from proxy.engine.texts cimport error_field, error_words, error_write
from proxy.engine.types cimport (
    ERROR_FENCED, ERROR_LOST_READ, FIELD_ADDRESS, FIELD_COMMAND, FIELD_ELAPSED, FIELD_NODE, FIELD_POOL, FIELD_REASON,
    READ_PRIMARY, ROW_READ, ROW_WRITE, Conn, Core, ErrorArgs, Pending,
)
from proxy.wire.output cimport output_clear
from proxy.wire.resp cimport write_number


cdef const char* lease_fence(Core* core, Conn* conn, const char* data, size_t* size) noexcept nogil:
    """The reply that its request gets in place of `data`, which is fenced; `data` itself for what acknowledges nothing.

    It is valid until the next call. Whatever hangs on the reply (a merge, a mark, a transaction) sees this one.
    """
    cdef Pending* pending = &conn.pending[conn.head & conn.mask]
    cdef ErrorArgs args
    cdef char elapsed[32]
    cdef int length
    cdef int kind = ERROR_FENCED
    if conn.head == conn.tail or pending.skip or data[0] == c'-':
        return data
    if not core.rows[pending.row].flags & ROW_WRITE:
        # Where only primaries are read from, what is read is what was written last.
        if conn.node.pool.reads.from_ != READ_PRIMARY or not core.rows[pending.row].flags & ROW_READ:
            return data
        kind = ERROR_LOST_READ
    memset(&args, 0, sizeof(args))
    length = write_number(elapsed, <uint32_t> (<uint32_t> core.now_us - pending.start) // 1000)
    error_field(&args, FIELD_ELAPSED, elapsed, length - 2)
    error_words(&args, FIELD_POOL, conn.node.pool.name)
    error_words(&args, FIELD_NODE, conn.node.name)
    error_words(&args, FIELD_ADDRESS, conn.node.address)
    error_words(&args, FIELD_COMMAND, core.rows[pending.row].full_name)
    error_words(&args, FIELD_REASON, b"this proxy is out of touch with most of the pool")
    output_clear(&core.fence, &core.chunks)
    error_write(core, kind, &args, &core.fence)
    core.counters.fenced += 1
    size[0] = core.fence.length
    return core.fence.first.data + core.fence.first.head

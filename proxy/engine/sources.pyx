# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Sources: finding them, judging them. See sources.pxd."""

from proxy.engine.keys cimport keys_find
from proxy.engine.ring cimport ring_candidates
from proxy.engine.types cimport CONN_LOST, CONN_OPEN, DATABASES, READ_PRIMARY, Conn, Core, Node, Pool, ReadRules
from proxy.engine.voices cimport AWAY_NOT, COPIES
from proxy.wire.resp cimport FRAMED, Frame, FrameLimits, frame_request, frame_reset


cdef int standing(Core* core, Node* node, int protocol, int database) noexcept nogil:
    """A Standing: of a member of the ring, or of a replica if the pool's reads may go there."""
    cdef ReadRules* rules = &node.pool.reads
    cdef Conn* conn
    if node.ejected or node.away != AWAY_NOT:
        return STANDING_NOT
    if node.primary != node.index:
        if rules.from_ == READ_PRIMARY or not node.readable:
            return STANDING_NOT
        if rules.lag_us and core.now_us - node.fresh_us > rules.lag_us and core.now_us > node.fresh_us:
            return STANDING_NOT
    # As conn_place() has it, which stands above.
    conn = node.conns[((protocol - 2) * DATABASES + database) * 2]
    if conn == NULL:
        return STANDING_SOON
    if conn.refusing or conn.output.length > node.pool.limits.backlog:
        return STANDING_NOT
    if conn.state == CONN_OPEN:
        return STANDING_OPEN
    if conn.state == CONN_LOST:
        return STANDING_HOPE
    return STANDING_SOON


cdef void sources_of(Core* core, Node* node, int row, const char* data, size_t length, Sources* sources) noexcept nogil:
    """Those of a read that was sent to `node`. With `replication: ring` the request itself says which these are, and
    core.keys are overwritten."""
    cdef Pool* pool = node.pool
    cdef Frame frame
    cdef FrameLimits limits
    cdef int count, index
    sources.nodes = pool.nodes
    sources.copied = pool.copies > 0
    if not pool.copies:
        sources.home = &pool.nodes[node.primary]
        return
    sources.count = 0
    limits.trusted = True
    limits.max_bulk = length
    frame_reset(&frame)
    if frame_request(&frame, data, length, &limits) != FRAMED:
        return
    count = keys_find(core, &core.rows[row], &frame)
    if count <= 0:
        return
    sources.count = ring_candidates(pool.ring, core.keys[0].data, core.keys[0].length, sources.copies, pool.copies)
    for index in range(1, count):
        keep_common(pool, core.keys[index].data, core.keys[index].length, sources)


cdef void keep_common(Pool* pool, const char* key, size_t length, Sources* sources) noexcept nogil:
    """Keep those that have this key, too."""
    cdef int nodes[COPIES]
    cdef int count = ring_candidates(pool.ring, key, length, nodes, pool.copies)
    cdef int index, other, kept = 0
    for index in range(sources.count):
        for other in range(count):
            if nodes[other] == sources.copies[index]:
                sources.copies[kept] = nodes[other]
                kept += 1
                break
    sources.count = kept


cdef bint anybody(Core* core, const Sources* sources, int protocol, int database) noexcept nogil:
    """Can any of them answer?"""
    cdef int index
    for index in range(source_count(sources)):
        if standing(core, source(sources, index), protocol, database):
            return True
    return False

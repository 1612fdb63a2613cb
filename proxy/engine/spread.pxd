# cython: language_level=3
"""Spread: requests of counters that are spread over several nodes. Step 4k of a request's life; see shards.pxd."""

from proxy.engine.types cimport Client, Core, Row
from proxy.wire.resp cimport Frame

cdef enum:
    ASK_CONTROL = 2            # a Verdict: it is for the control plane

cdef int spread(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil
cdef void spread_due(Core* core) noexcept nogil

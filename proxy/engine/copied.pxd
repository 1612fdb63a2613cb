# cython: language_level=3
"""Copied transactions: MULTI to EXEC in pools with `replication: ring`. Steps 4e and 4j of a request's life.

All keys of a transaction have to be at the same nodes. What is queued is kept as what every node is to get, and goes at
EXEC to all of them as one block, whose replies are judged as those of any other write (quorum.pxd).
"""

from proxy.engine.types cimport Client, Core, Row
from proxy.wire.resp cimport Frame

cdef int copied_queue(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil
cdef int copied_run(Core* core, Client* client, Row* row) noexcept nogil

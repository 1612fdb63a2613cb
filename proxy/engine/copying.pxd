# cython: language_level=3
"""Copying: requests that go to every node that has their key, in pools with `replication: ring`. Step 4 of a request's life.

The copies of a key are at the first `copies` distinct nodes of its walk round the ring. A write goes to all of them at
once, in the same order as to the first of them; a read goes to the first that serves (route.pxd), or to all of them where
it is to be a quorum's.
"""

from proxy.engine.types cimport Client, Core, Row
from proxy.wire.resp cimport Frame

cdef int copying(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil

# cython: language_level=3
"""Fan-out: reads of a hot key that other nodes answer from copies, and writes that end those copies.

    read ──► home, or one of the places at random ──► a copy: answered          what is no copy: asked at home
    read at home, PTTL ──► SET copy NX PX, at each place without one
    write ──► SET tombstone PX, at each place ──► the write ──► its reply ──► SET tombstone PX ──► acknowledged: the client

What keeps copies honest, from the inside out:
  Within the process the marks do (marks.pxd). A copy carries those that it is valid for, with the number of the process
  that made it; whoever reads it through the same process finds it void once a write began since. A copy that another
  process made is believed only when no write went by this one for longer than such a copy can live.
  Between processes tombstones do. A writer that knows of copies replaces them before and after its write, and its
  client has no reply before the second ones are in place, or as long as a copy lives. A copy on its way meanwhile finds
  a tombstone, because it is set with NX, and only if it was read less than half a tombstone's life before.
  And whatever happens a copy lives no longer than fan_out_ttl. That is the bound for a process that does not know that
  the key is hot, for a write of unknown fate, and for a copy that took longer than a tombstone lives to arrive.

A client's requests for a key keep their order: while a copy is being read for it, its further reads of that key go the
same way, and everything else that it asks about the key waits.
"""

from libc.stdint cimport uint64_t

from proxy.engine.heat cimport Fetch, HotKey
from proxy.engine.types cimport Client, Conn, Core, Pending, Row
from proxy.wire.resp cimport Frame

cdef int fan_read(Core* core, Client* client, Row* row, Frame* frame, HotKey* key, uint64_t marks) noexcept nogil
cdef Fetch* fan_reply(Core* core, Conn* conn, Pending* pending, const char* data, size_t size) noexcept nogil
cdef Fetch* fans_due(Core* core) noexcept nogil
cdef void fan_wants(Core* core, HotKey* key, Fetch* fetch) noexcept nogil
cdef void fan_fill(Core* core, Fetch* fetch, const char* life) noexcept nogil


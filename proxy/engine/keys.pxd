# cython: language_level=3
"""Keys: where the keys of a request are, by the key specs of its row. Step 4a, for commands with more than one key."""

from proxy.engine.types cimport Core, KeyRef, Row
from proxy.wire.resp cimport Frame

cdef int keys_find(Core* core, const Row* row, const Frame* frame) noexcept nogil
cdef int option_after(const Row* row, const KeyRef* args, int at, int argc) noexcept nogil
cdef bint blocks(Core* core, const Row* row, const Frame* frame) noexcept nogil

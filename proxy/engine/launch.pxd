# cython: language_level=3
"""Launch: what has gathered leaves, and its reply is handed out. Step 5c of a request's life, for waves.

A wave leaves when nothing of its tally is on its way and its time is up, or ahead of something that names its key. It
has its place in the stream of the connection like any request, holds the marks of its key open until it is answered, and
is told like any of its unknown fate; each of its members is told in the words for his own request.
"""

from libc.stdint cimport int64_t

from proxy.engine.tally cimport Tally
from proxy.engine.types cimport Conn, Core, Pending, Pool

cdef enum:
    LIMIT_BITS = 62            # a counter and what is added to it together stay below 2^62
    MULTI_BYTES = 15           # of MULTI as a request

cdef bint fits(const Tally* tally, int64_t sum) noexcept nogil
cdef void launch(Core* core, Tally* tally) noexcept nogil
cdef void launch_all(Core* core, const Pool* pool) noexcept nogil
cdef void launch_due(Core* core) noexcept nogil
cdef void launch_tick(Core* core) noexcept nogil
cdef void launch_reply(Core* core, Conn* conn, Pending* pending, const char* data, size_t size) noexcept nogil

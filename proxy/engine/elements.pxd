# cython: language_level=3
"""Elements: MGET's keys of which this engine has copies. Step 4 of an MGET's life, before it is split."""

from proxy.engine.types cimport Client, Core, Row
from proxy.wire.output cimport Output

cdef int elements_take(Core* core, Client* client, Row* row, int count, Output* taken) noexcept nogil

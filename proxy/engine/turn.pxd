# cython: language_level=3
"""Turn: one pass of the engine's loop."""

from proxy.engine.types cimport Core

cdef void turn(Core* core, int timeout_ms) noexcept nogil
cdef void turn_end(Core* core) noexcept nogil
cdef void engine_loop(Core* core) noexcept nogil

# cython: language_level=3
"""Orders: what the control plane tells the engine, taken at a turn's boundary."""

from proxy.engine.types cimport Core

cdef void orders_take(Core* core) noexcept nogil
cdef void drain_step(Core* core) noexcept nogil

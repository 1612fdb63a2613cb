# cython: language_level=3
"""Audience: how many clients of this process stand behind each subscription at the nodes.

A node counts the process once per channel and once per matching pattern, however many of its clients wait for the
message, so the number that PUBLISH answers is corrected on its way: for each subscription by its clients less one. The
control plane posts every change before it confirms the subscription, and an engine takes its orders before it reads a
socket, so whoever publishes after a confirmation counts that subscriber.
"""

from libc.stdint cimport int64_t, uint32_t

from proxy.engine.types cimport Core, Node, Pool

cdef void audience_set(Core* core, Pool* pool, int kind, const char* name, size_t length, uint32_t extra) noexcept nogil
cdef int64_t audience_extra(Core* core, Node* node, int kind, const char* name, size_t length) noexcept nogil
cdef void audiences_free(Pool* pool) noexcept nogil

# cython: language_level=3
"""Acks: WAIT and WAITAOF, for clients that go on only when so many replicas, or logs on disk, have what they wrote."""

from storenode.types cimport Call, Node

cdef void command_wait(Call* call) noexcept nogil
cdef void command_waitaof(Call* call) noexcept nogil
cdef void acks_turn(Node* node) noexcept nogil

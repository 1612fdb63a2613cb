# cython: language_level=3
"""Acks: WAIT, for clients that go on only when so many replicas have what they wrote."""

from storenode.types cimport Call, Node

cdef void command_wait(Call* call) noexcept nogil
cdef void acks_turn(Node* node) noexcept nogil

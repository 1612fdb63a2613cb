# cython: language_level=3
"""Refusal: while what is written cannot be made durable as configured, writes are answered with an error instead."""

from storenode.types cimport Node

cdef void refusal_settle(Node* node) noexcept nogil

# cython: language_level=3
"""Restart: the keyspace from what an earlier run left: the log if it is on, else the snapshot."""

from storenode.replay cimport Pause
from storenode.types cimport Node

cdef bint restart(Node* node, Pause pause) noexcept nogil
cdef bint restart_snapshot(Node* node, Pause pause) noexcept nogil
cdef bint restart_log(Node* node, Pause pause) noexcept nogil

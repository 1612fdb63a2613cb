# cython: language_level=3
"""Loop: the thread that owns every socket and every key of a node."""

from storenode.types cimport Node

cdef class Loop:
    cdef Node* node            # owned
    cdef object bind           # bytes that node.bind points into

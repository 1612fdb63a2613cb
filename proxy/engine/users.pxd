# cython: language_level=3
"""Users: the users of a pool, compiled for one engine."""

from proxy.engine.types cimport Pool

cdef build_users(Pool* pool, list kept, users, list names)

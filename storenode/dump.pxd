# cython: language_level=3
"""Dump: DUMP and RESTORE, a key's value as bytes that another node or a Redis can take."""

from storenode.types cimport Call

cdef void command_dump(Call* call) noexcept nogil
cdef void command_restore(Call* call) noexcept nogil

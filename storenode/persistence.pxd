# cython: language_level=3
"""Persistence commands: SAVE, BGSAVE, LASTSAVE, BGREWRITEAOF, SHUTDOWN, DEBUG RELOAD and LOADAOF; INFO persistence."""

from storenode.text cimport Text
from storenode.types cimport Call, Node

cdef void command_save(Call* call) noexcept nogil
cdef void command_bgsave(Call* call) noexcept nogil
cdef void command_lastsave(Call* call) noexcept nogil
cdef void command_bgrewriteaof(Call* call) noexcept nogil
cdef void command_shutdown(Call* call) noexcept nogil
cdef void command_debug_reload(Call* call) noexcept nogil
cdef void command_debug_loadaof(Call* call) noexcept nogil
cdef void build_persistence(Node* node, Text* text) noexcept nogil

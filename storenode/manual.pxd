# cython: language_level=3
"""Manual: what the node says of its own commands: COMMAND and its subcommands, HELP of every container, LOLWUT."""

from storenode.types cimport Call

cdef void answer_try_help(Call* call) noexcept nogil
cdef void command_command(Call* call) noexcept nogil
cdef void command_command_count(Call* call) noexcept nogil
cdef void command_command_docs(Call* call) noexcept nogil
cdef void command_command_getkeys(Call* call) noexcept nogil
cdef void command_command_info(Call* call) noexcept nogil
cdef void command_command_list(Call* call) noexcept nogil
cdef void command_help(Call* call) noexcept nogil
cdef void command_lolwut(Call* call) noexcept nogil

# cython: language_level=3
"""Monitor: MONITOR, which shows a client every command that is executed, but those of administrators."""

from storenode.text cimport Text
from storenode.types cimport Call, Client, Node, Row

cdef void monitor_end(Node* node, Client* client) noexcept nogil
cdef void monitor_write(Call* call, const Row* row, Text* line) noexcept nogil
cdef void monitor_send(Call* call, Text* line) noexcept nogil
cdef void command_monitor(Call* call) noexcept nogil

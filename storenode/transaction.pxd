# cython: language_level=3
"""Transaction: MULTI, EXEC, DISCARD.

Between MULTI and EXEC the requests of a client are checked and kept, each behind its row, in chunks of the node's pool:
they count as buffers, not as keys, and a client may keep as many bytes of them as of any other requests. EXEC runs
them one after the other with node.in_exec set, so nothing comes between and nothing blocks.
"""

from proxy.wire.resp cimport Frame
from storenode.types cimport Call, Client, Node, Row

cdef void command_multi(Call* call) noexcept nogil
cdef void command_exec(Call* call) noexcept nogil
cdef void command_discard(Call* call) noexcept nogil
cdef void transaction_queue(Call* call, Row* row, const Frame* frame) noexcept nogil
cdef bint transaction_refused(Call* call, const Row* row, const char* text) noexcept nogil
cdef bint transaction_grows(const Client* client, const Row* row) noexcept nogil
cdef void transaction_end(Node* node, Client* client) noexcept nogil

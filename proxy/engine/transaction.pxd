# cython: language_level=3
"""Transaction: what a client queues between MULTI and EXEC. Step 4e of a request's life.

The queued commands are kept as the bytes of one block a node, MULTI first, and leave at EXEC as one contiguous piece of
that node's shared connection: nothing of another client can come between, and a client that dies in the middle of a
transaction has sent nothing. The node's answers to MULTI and to what it queues are skipped; the one to EXEC is the reply.

Only commands that leave no trace on a connection are written to one that others use. What is the proxy's to answer
(PING, ECHO, CLIENT ID …) is answered while queueing and put at its place of EXEC's array; the rest is refused, which
dooms the transaction as any other error of queueing does.
"""

from proxy.engine.types cimport Client, Core, Row
from proxy.wire.resp cimport Frame

cdef int transaction_begin(Core* core, Client* client, Row* row) noexcept nogil
cdef int transaction_queue(Core* core, Client* client, Row* row, Frame* frame) noexcept nogil
cdef int transaction_run(Core* core, Client* client, Row* row) noexcept nogil
cdef int transaction_misspelt(Core* core, Client* client, Row* row) noexcept nogil
cdef int transaction_discard(Core* core, Client* client, Row* row) noexcept nogil
cdef int block_of(Core* core, Client* client, int home) noexcept nogil
cdef bint room_for(Core* core, Client* client, size_t length) noexcept nogil
cdef void queued(Core* core, Client* client, Row* row, int place, size_t length) noexcept nogil
cdef void transaction_drop(Core* core, Client* client) noexcept nogil

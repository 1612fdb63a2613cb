# cython: language_level=3
"""Refusals: what is wrong with a request is said before anything of it is sent; the connection stays.

Inside a transaction a refusal dooms it: EXEC will run nothing, as a client that saw the error expects.
"""

from proxy.engine.types cimport Client, Core, Node, Row
from proxy.wire.resp cimport Frame

cdef enum Verdict:             # what became of a request
    GO_ON = -1                 # nothing yet
    DONE = 0                   # taken care of; go on with the next request
    WAIT = 1                   # a barrier: try again when all earlier slots are answered

cdef void doom(Client* client) noexcept nogil
cdef int refuse(Core* core, Client* client, Row* row, int kind, Node* node, const char* why) noexcept nogil
cdef int refuse_text(Core* core, Client* client, Row* row, const char* text) noexcept nogil
cdef int unknown(Core* core, Client* client, Frame* frame) noexcept nogil
cdef int unknown_child(Core* core, Client* client, Frame* frame) noexcept nogil

# cython: language_level=3
"""Execute: from received bytes to replies appended to the client's output."""

from proxy.wire.output cimport Output
from proxy.wire.resp cimport Frame
from storenode.types cimport Client, Node

cdef enum:
    OUTPUT_SOFT = 1 << 20      # unread output from which on a client's requests wait
    QUERY_BUFFER = 1 << 30     # bytes of requests kept for one client, as in Redis

cdef size_t execute_requests(Node* node, Client* client, const char* data, size_t length, size_t* need) noexcept nogil
cdef void execute_framed(Node* node, Client* client, Frame* frame, Output* output) noexcept nogil

# cython: language_level=3
"""Link: what the primary sends, from the snapshot to the stream, and what it is told in return.

    offer ─► preamble ─► snapshot ─► [mark] ─► up: commands, run by the ordinary executor
               └──────── a link that goes on where the last one stopped ────┘

A snapshot goes from the socket into the keyspace as it comes: before its first byte the old keyspace is emptied, and
until its last byte nothing is served but -LOADING. A link that is lost meanwhile leaves an incomplete keyspace, which
stays unserved. One turn takes what one recv gave, so other clients are served in between.
"""

from libc.stdint cimport uint32_t

from storenode.types cimport Handle, Node

cdef void link_offered(Node* node) noexcept nogil
cdef void serve_link(Node* node, Handle* handle, uint32_t events) noexcept nogil
cdef void link_tick(Node* node) noexcept nogil
cdef void link_synced(Node* node) noexcept nogil

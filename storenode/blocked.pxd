# cython: language_level=3
"""Blocked: the clients that wait for a key, and until when.

    key_changed() ── wait_signal() ── node.ready ── serve_ready() of serve.pyx ── wait_end() ── node.touched ── the loop

A write only notes that the key may be ready; after the command, or the transaction, whoever waits longest is served.
Deadlines are a heap: the loop sleeps until the first of them and looks at no other. A blocked client's requests are
read and kept; once it is served, timed out or unblocked, the loop goes on with them in the same turn.
"""

from libc.stdint cimport uint64_t

from storenode.types cimport Call, Client, Database, Node, Pop, Slice, Topic

cdef void wait_begin(Call* call, const Pop* pop, const Slice* keys, int count, uint64_t deadline_us) noexcept nogil
cdef void wait_drop(Node* node, Client* client) noexcept nogil
cdef void wait_end(Node* node, Client* client) noexcept nogil
cdef void wait_signal(Database* database, const Slice* key) noexcept nogil
cdef void wait_signal_all(Database* database) noexcept nogil
cdef Topic* wait_ready(Node* node) noexcept nogil
cdef void wait_cancel(Node* node, Client* client, const char* error) noexcept nogil
cdef void wait_expire(Node* node) noexcept nogil

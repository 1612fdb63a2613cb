# cython: language_level=3
"""Child: a forked process that sees the keyspace as it was at the end of a turn, writes it somewhere, and ends.

It runs only what is compiled here: no Python, no lock of the parent's, _exit() at the end. It keeps no descriptor of
the parent's, so that a port is free again when the parent dies, and it dies with the parent. One at a time: two would
double what is copied on write.
"""

from libc.stdint cimport uint64_t

from storenode.types cimport ChildDone, ChildJob, Node

cdef bint child_free(Node* node) noexcept nogil
cdef bint child_start(Node* node, int kind, ChildJob job, ChildDone done, int keep) noexcept nogil
cdef void child_poll(Node* node) noexcept nogil
cdef void child_kill(Node* node) noexcept nogil

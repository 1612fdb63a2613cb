# cython: language_level=3
"""Clerk: the thread that waits for the disk where the thread that serves must not: syncing, closing, new files.

It is given one task at a time, or a close, and is asked ten times a second how far it is. It knows no keys.
"""

from storenode.disk cimport Manifest
from storenode.types cimport Node

cdef bint clerk_open(Node* node) noexcept nogil
cdef void clerk_close(Node* node) noexcept nogil
cdef bint clerk_sync(Node* node, int fd) noexcept nogil
cdef bint clerk_retire(Node* node, int fd) noexcept nogil
cdef bint clerk_prepare(Node* node, const Manifest* manifest, bint publish) noexcept nogil
cdef bint clerk_synced(Node* node, int* error) noexcept nogil
cdef bint clerk_prepared(Node* node, int* fd, int* error) noexcept nogil
cdef bint clerk_busy(Node* node) noexcept nogil

# cython: language_level=3
"""Heap: malloc with the keyspace's accounting. Node.memory is the exact sum of what these functions handed out.

A block counts with its usable size and malloc's own word. Nothing here fails: out of memory ends the process with a
sentence, because a store that cannot allocate sixteen bytes cannot answer either.
"""

from storenode.types cimport Node

cdef void* heap_resize(Node* node, void* block, size_t size) noexcept nogil
cdef void heap_free(Node* node, void* block) noexcept nogil
cdef size_t heap_bytes(const void* block) noexcept nogil


cdef inline void* heap_new(Node* node, size_t size) noexcept nogil:
    """A block of `size` bytes, not cleared."""
    return heap_resize(node, NULL, size)

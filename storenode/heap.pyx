# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Heap: allocating, resizing, freeing. See heap.pxd."""

from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, free, realloc

from storenode.types cimport Node

cdef extern from "<malloc.h>" nogil:
    size_t malloc_usable_size(void* block)


cdef size_t heap_bytes(const void* block) noexcept nogil:
    """What a block takes from the heap, malloc's own word included."""
    return malloc_usable_size(<void*> block) + sizeof(size_t)


cdef void* heap_resize(Node* node, void* block, size_t size) noexcept nogil:
    """realloc(); NULL: a new block."""
    if block != NULL:
        node.memory -= heap_bytes(block)
    block = realloc(block, size)
    if block == NULL:
        fprintf(stderr, "quench: out of memory allocating %zu bytes for a key\n", size)
        abort()
    node.memory += heap_bytes(block)
    return block


cdef void heap_free(Node* node, void* block) noexcept nogil:
    node.memory -= heap_bytes(block)
    free(block)

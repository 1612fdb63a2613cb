# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Call: room for arguments. What every request passes is in call.pxd, to be compiled into its callers."""

from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, free, malloc

from storenode.types cimport Node, Slice


cdef void call_room(Node* node, size_t argc) noexcept nogil:
    """Make room for so many arguments."""
    free(node.argv)
    node.argv_room = argc if argc > ARGV_KEPT else ARGV_KEPT
    node.argv = <Slice*> malloc(node.argv_room * sizeof(Slice))
    if node.argv == NULL:
        fprintf(stderr, "quench: out of memory for a request of %zu arguments\n", argc)
        abort()

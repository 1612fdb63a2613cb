# cython: language_level=3
"""Serve: what a blocking pop takes, at once or after a wait, and serving those who wait for a key that is ready.

A pop is carried out as the command that does the same without waiting, which is then its effect (call.pxd): BLPOP and
BLMPOP as LPOP, BZPOPMAX as ZPOPMAX, BLMOVE and BRPOPLPUSH as LMOVE.
"""

from storenode.types cimport Call, Node, Pop, Slice

cdef enum PopForm:
    ONE = 0                    # the key and the element, as BLPOP and BZPOPMIN answer
    MANY = 1                   # the key and an array, as LMPOP and ZMPOP
    ACROSS = 2                 # the element, which goes to another list

cdef void serve_pop(Call* call, const Pop* pop, const Slice* source) noexcept nogil
cdef void serve_ready(Node* node) noexcept nogil

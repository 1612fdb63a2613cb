# cython: language_level=3
"""Clone: a copy of a value under another name, for COPY and for results that begin as a copy."""

from storenode.types cimport Entry, Node, Place, Slice

cdef void entry_clone(Node* node, const Entry* source, const Slice* key, Place* built) noexcept nogil

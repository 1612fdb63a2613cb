# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Parcel: see parcel.pxd. Open it, write its text, seal it, send it any number of times, close it."""

from libc.string cimport memset

from proxy.wire.chunk cimport SHARE_AT, chunk_share, chunk_view, shared_release
from proxy.wire.output cimport Output, output_append, output_clear, output_flatten, output_move
from storenode.types cimport Node


cdef void parcel_open(Parcel* parcel) noexcept nogil:
    memset(parcel, 0, sizeof(Parcel))


cdef void parcel_seal(Node* node, Parcel* parcel) noexcept nogil:
    """The text is complete."""
    output_flatten(&parcel.text, &node.chunks)
    if parcel.text.length >= SHARE_AT:
        parcel.shared = chunk_share(&node.chunks, parcel.text.first.data + parcel.text.first.head, parcel.text.length)


cdef void parcel_send(Node* node, Parcel* parcel, Output* output) noexcept nogil:
    """Append it to what a client is owed; an empty one adds nothing."""
    if parcel.shared != NULL:
        output_move(output, &node.chunks, chunk_view(parcel.shared))
    elif parcel.text.length:
        output_append(output, &node.chunks, parcel.text.first.data + parcel.text.first.head, parcel.text.length)


cdef void parcel_close(Node* node, Parcel* parcel) noexcept nogil:
    if parcel.shared != NULL:
        shared_release(&node.chunks, parcel.shared)
    output_clear(&parcel.text, &node.chunks)

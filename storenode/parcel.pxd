# cython: language_level=3
"""Parcel: a message for many clients, put together once and, if it is long, held once however many it is owed to."""

from proxy.wire.chunk cimport Shared
from proxy.wire.output cimport Output
from storenode.types cimport Node

cdef struct Parcel:
    Output text                # the message
    Shared* shared             # the same, to be held once; NULL: it is short, and copied

cdef void parcel_open(Parcel* parcel) noexcept nogil
cdef void parcel_seal(Node* node, Parcel* parcel) noexcept nogil
cdef void parcel_send(Node* node, Parcel* parcel, Output* output) noexcept nogil
cdef void parcel_close(Node* node, Parcel* parcel) noexcept nogil

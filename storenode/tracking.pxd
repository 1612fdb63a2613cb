# cython: language_level=3
"""Tracking: CLIENT TRACKING, CACHING, TRACKINGINFO and GETREDIR."""

from storenode.types cimport Call, Client, Node

cdef void tracking_end(Node* node, Client* client) noexcept nogil
cdef void command_client_tracking(Call* call) noexcept nogil
cdef void command_client_caching(Call* call) noexcept nogil
cdef void command_client_trackinginfo(Call* call) noexcept nogil
cdef void command_client_getredir(Call* call) noexcept nogil

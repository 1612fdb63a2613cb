# cython: language_level=3
"""Members: what the control plane says of a cluster's nodes is put into effect, between two requests. See cluster.pxd."""

from proxy.engine.types cimport Conn, Core, Order

cdef void cluster_member(Core* core, Order* order) noexcept nogil
cdef void cluster_role(Core* core, Conn* conn) noexcept nogil
cdef void cluster_slots(Core* core, Order* order) noexcept nogil

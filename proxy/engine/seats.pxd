# cython: language_level=3
"""Seats: which process is behind a node. A promotion changes that, and nothing else: the node keeps its place on the ring.

A seat is taken by order: an address, and the run_id of the process that has to be there, because one that was restarted
at the same address may have lost what it held. A connection to any other is given up in its greeting. The seat of a
node without a primary is empty: requests for it wait, each for its own deadline, and leave for whoever takes the seat.
"""

from proxy.engine.types cimport Core, Node, Order

cdef void seat_change(Core* core, Node* node, const Order* order) noexcept nogil
cdef void seat_give_up(Core* core, Node* node, const char* reason) noexcept nogil

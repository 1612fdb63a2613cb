# cython: language_level=3
"""Controls: the orders that the control plane gives to an engine, as methods. The upper part of Engine.

Each is a post to the mailbox of one core; orders.pyx carries them out at the start of a turn.
"""

from proxy.engine.types cimport Core, Order

cdef enum:
    ORDERS = 16384             # orders waiting for one engine

cdef class Controls:
    cdef Core* core            # the Engine's
    cdef readonly int index
    cdef unsigned long long push_posted    # bytes of all orders to push, ever

    cdef post(self, Order* order)

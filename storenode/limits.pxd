# cython: language_level=3
"""Limits: how much output a client may leave unread (client-output-buffer-limit), and how long it may be idle (timeout).

A client beyond its limits is marked and closed by the loop, never in the middle of a command. The class of a client is
what it does at the moment: one with subscriptions is bounded as `pubsub`.
"""

from storenode.text cimport Text
from storenode.types cimport Client, Node, Slice

cdef void limits_open(Node* node) noexcept nogil
cdef void limits_show(Node* node, Text* text) noexcept nogil
cdef const char* limits_apply(Node* node, const Slice* value, bint really) noexcept nogil
cdef void output_check(Node* node, Client* client) noexcept nogil
cdef void clients_check(Node* node) noexcept nogil

# cython: language_level=3
"""Notify: keyspace notifications, the messages that tell subscribers what happens to keys (notify-keyspace-events).

Node.notify has a bit for each letter of the setting; 0 is off, and costs a write one comparison.
"""

from storenode.text cimport Text
from storenode.types cimport Database, Node, Slice

cdef void notify_show(Node* node, Text* text) noexcept nogil
cdef bint notify_read(const Slice* value, int* classes) noexcept nogil
cdef bint notify_wants(const Node* node, char group) noexcept nogil
cdef void notify(Database* database, const Slice* key, const char* event, char group) noexcept nogil

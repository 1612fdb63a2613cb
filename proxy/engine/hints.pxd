# cython: language_level=3
"""Hints: which keys a node has missed, kept at the nodes that have not.

A hint is the key's name in a sorted set called `<zero byte>quench:hints:<node>`, in the key's own database, at every
node that carried the write out; the score is the time, in ms. It goes ahead of the write on the same connection, so
that there is no confirmed write without one. It names the key and not what was done to it: mending copies the key as
it is by then, "it does not exist" included. So hints of one key are one, their order does not matter, and a deletion needs
no tombstone beside them. A doubt is of the same kind, about a node whose reply was another one than the leader's: it
serves on while the key is compared.
"""

from libc.stdint cimport int64_t, uint32_t

from proxy.engine.types cimport Core, Node
from proxy.wire.output cimport Output

cdef bint hidden_name(const char* key, size_t length) noexcept nogil
cdef void hint_write(Core* core, Node* about, bint doubt, const char* keys, uint32_t count, int64_t wall_ms,
                     Output* output) noexcept nogil

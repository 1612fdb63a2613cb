# cython: language_level=3
"""Framer: whole replies out of a node's byte stream, for the connections that the control plane reads itself.

The slow lane passes replies on byte for byte, because a parser forgets what it cannot spell (a map, a set, verbatim
text, a double's digits); what it has to look into it parses afterwards. Engines frame for themselves and never come
here.
"""

from proxy.wire.reply cimport ReplyFrame

cdef class ReplyFramer:
    cdef bytearray kept        # bytes not handed out yet; the first is that of the reply being framed
    cdef ReplyFrame frame
    cdef bint dropping         # the reply being framed is thrown away as it arrives

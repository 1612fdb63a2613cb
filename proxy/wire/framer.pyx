# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Framer: see framer.pxd. Framing never goes back, so a reply that comes in a thousand pieces costs one pass."""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_FromStringAndSize

from proxy.wire.reply cimport frame_reply, reply_reset
from proxy.wire.resp cimport BROKEN, MORE

cdef enum:
    MOST_BULK = 0x7FFFFFFF     # bytes of one string in a reply


cdef class ReplyFramer:
    """Feed bytes, take whole replies."""

    def __cinit__(self):
        self.kept = bytearray()
        reply_reset(&self.frame)

    @property
    def held(self):
        """Bytes that were fed and neither taken nor dropped."""
        return PyByteArray_GET_SIZE(self.kept)

    def feed(self, bytes data):
        """More of the stream."""
        self.kept += data

    def take(self):
        """The next whole reply; empty for one that was dropped; None when the rest of it has not come.

        Raises ValueError when the stream is not RESP: no later byte of it can be understood.
        """
        cdef size_t length = PyByteArray_GET_SIZE(self.kept)
        cdef int status
        if length == 0:
            return None
        status = frame_reply(&self.frame, PyByteArray_AS_STRING(self.kept), length, MOST_BULK)
        if status == BROKEN:
            raise ValueError("it sent bytes that are not RESP")
        if status == MORE:
            if self.dropping and self.frame.scanned > 1:
                # One byte stays, because a frame that has scanned none is at a fresh reply.
                del self.kept[:self.frame.scanned - 1]
                self.frame.scanned = 1
            return None
        reply = b""
        if not self.dropping:
            reply = PyBytes_FromStringAndSize(PyByteArray_AS_STRING(self.kept), self.frame.scanned)
        del self.kept[:self.frame.scanned]
        reply_reset(&self.frame)
        self.dropping = False
        return reply

    def drop(self):
        """Throw the reply that is incomplete away as it arrives; take() gives an empty one in its place."""
        self.dropping = True

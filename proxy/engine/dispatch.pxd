# cython: language_level=3
"""Dispatch: what becomes of one framed request. Step 4 of a request's life."""

from proxy.engine.types cimport Client, Core
from proxy.wire.resp cimport Frame

cdef enum Verdict:
    DONE = 0                   # taken care of; go on with the next request
    WAIT = 1                   # a barrier: try again when all earlier slots are answered


cdef int dispatch(Core* core, Client* client, Frame* frame) noexcept nogil

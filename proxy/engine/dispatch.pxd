# cython: language_level=3
"""Dispatch: what becomes of one framed request. Step 4 of a request's life."""

from proxy.engine.types cimport Client, Core
from proxy.wire.resp cimport Frame

cdef int dispatch(Core* core, Client* client, Frame* frame) noexcept nogil

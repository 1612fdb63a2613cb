# cython: language_level=3
"""Answers: the commands that the engine answers itself, because they are about the client's own connection."""

from proxy.engine.types cimport Client, Core, Row
from proxy.wire.resp cimport Frame

cdef void answer(Core* core, Client* client, Row* row, const Frame* frame) noexcept nogil
cdef void client_reset(Client* client) noexcept nogil

# cython: language_level=3
"""Describe: a client as one line of text, for CLIENT LIST and for what the control plane is told of it."""

from proxy.engine.types cimport Client, Core
from proxy.wire.output cimport Output

cdef void client_describe(Core* core, Client* client, Output* text) noexcept nogil

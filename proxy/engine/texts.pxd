# cython: language_level=3
"""Texts: the error replies that the engine itself makes, from the templates of proxy/errors.py."""

from proxy.engine.types cimport Client, Conn, Core, ErrorArgs
from proxy.wire.output cimport Output

cdef void error_field(ErrorArgs* args, int field, const char* text, size_t length) noexcept nogil
cdef void error_words(ErrorArgs* args, int field, const char* text) noexcept nogil
cdef void error_write(Core* core, int kind, const ErrorArgs* args, Output* target) noexcept nogil
cdef void error_local(Core* core, Client* client, int kind, const ErrorArgs* args) noexcept nogil

# cython: language_level=3
"""Tables: the command table and the error texts, compiled for one engine."""

from proxy.engine.types cimport Core

cdef list build_rows(Core* core, list kept)
cdef build_errors(Core* core, list kept)

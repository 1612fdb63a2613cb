# cython: language_level=3
"""Audit: the Probe's looks into hot keys and hot counters. Stands beside probe.pyx, which has the rest."""

from proxy.engine.types cimport Core, Pending

cdef list audit_heat(Core* core, dict pointed, dict fetches, dict open_marks)
cdef list audit_waves(Core* core, dict pointed, set waves)
cdef audit_shards(Core* core, dict pointed)
cdef audit_pending(Pending* pending, dict pointed, dict fetches, dict open_marks)

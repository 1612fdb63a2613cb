# cython: language_level=3
"""Geo commands: places in a sorted set, whose scores are geohashes. GEOADD, GEOSEARCH, GEORADIUS …"""

from storenode.types cimport Call

cdef void command_geoadd(Call* call) noexcept nogil
cdef void command_geodist(Call* call) noexcept nogil
cdef void command_geohash(Call* call) noexcept nogil
cdef void command_geopos(Call* call) noexcept nogil
cdef void command_geosearch(Call* call) noexcept nogil
cdef void command_geosearchstore(Call* call) noexcept nogil
cdef void command_georadius(Call* call) noexcept nogil
cdef void command_georadius_ro(Call* call) noexcept nogil
cdef void command_georadiusbymember(Call* call) noexcept nogil
cdef void command_georadiusbymember_ro(Call* call) noexcept nogil

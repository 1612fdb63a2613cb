# cython: language_level=3
"""Pub/sub: SUBSCRIBE and its sisters, PUBLISH, PUBSUB."""

from storenode.types cimport Call

cdef void command_subscribe(Call* call) noexcept nogil
cdef void command_psubscribe(Call* call) noexcept nogil
cdef void command_ssubscribe(Call* call) noexcept nogil
cdef void command_unsubscribe(Call* call) noexcept nogil
cdef void command_punsubscribe(Call* call) noexcept nogil
cdef void command_sunsubscribe(Call* call) noexcept nogil
cdef void command_publish(Call* call) noexcept nogil
cdef void command_spublish(Call* call) noexcept nogil
cdef void command_pubsub_channels(Call* call) noexcept nogil
cdef void command_pubsub_numsub(Call* call) noexcept nogil
cdef void command_pubsub_numpat(Call* call) noexcept nogil
cdef void command_pubsub_shardchannels(Call* call) noexcept nogil
cdef void command_pubsub_shardnumsub(Call* call) noexcept nogil

# cython: language_level=3
"""Effects: what a write becomes when several nodes are to carry it out with the same outcome.

Nodes that hold the same and are told the same in the same order hold the same afterwards, unless a command asks for the
time or for chance. A time to live becomes a point in time, for all nodes alike; what SPOP took from the first node, SREM
takes from the others. Which command needs what is the column `effect` of proxy/commands.json.
"""

from libc.stdint cimport int64_t

from proxy.engine.types cimport Core, Row
from proxy.wire.output cimport Output
from proxy.wire.resp cimport Frame

cdef enum Effect:              # of a Row; the names are in tables.EFFECTS
    EFFECT_NONE = 0            # it changes nothing
    EFFECT_SAME = 1
    EFFECT_EXPIRE = 2          # EXPIRE -> PEXPIREAT
    EFFECT_PEXPIRE = 3
    EFFECT_SETEX = 4           # SETEX -> SET … PXAT
    EFFECT_PSETEX = 5
    EFFECT_SET = 6             # SET … EX -> SET … PXAT
    EFFECT_GETEX = 7           # GETEX … EX -> GETEX … PXAT
    EFFECT_SPOP = 8            # the first node alone, then SREM of what it brought
    EFFECT_REFUSED = 9

cdef void effect_write(Core* core, const Row* row, const Frame* frame, int64_t wall_ms, Output* output) noexcept nogil
cdef bint effect_taken(Core* core, const char* key, size_t length, const char* reply, size_t size,
                       Output* output) noexcept nogil

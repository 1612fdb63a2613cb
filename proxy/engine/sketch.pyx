# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Sketch: one step of counting. See sketch.pxd."""

from libc.stdint cimport uint32_t, uint64_t

from proxy.engine.heat cimport CELLS, WAYS, Cell, Sketch


cdef inline void age(Cell* cell, uint32_t epoch) noexcept nogil:
    cdef uint32_t passed = epoch - cell.epoch
    if passed:
        cell.epoch = epoch
        cell.reads = cell.reads >> passed if passed < 32 else 0
        cell.writes = cell.writes >> passed if passed < 32 else 0


cdef uint32_t sketch_count(Sketch* sketch, uint64_t hash, bint write, uint32_t weight, uint64_t now_us) noexcept nogil:
    """Count `weight` requests for a key; returns its reads and writes of late, 0 while it has no place."""
    cdef uint32_t epoch = <uint32_t> (now_us >> HALF_SHIFT)
    cdef Cell* cells = &sketch.cells[hash & (CELLS - 1) & ~<uint64_t> (WAYS - 1)]
    cdef Cell* least = cells
    cdef Cell* cell
    cdef int way
    for way in range(WAYS):
        cell = &cells[way]
        if cell.hash == hash:
            age(cell, epoch)
            if write:
                cell.writes += weight
            else:
                cell.reads += weight
            return cell.reads + cell.writes
    for way in range(WAYS):
        cell = &cells[way]
        age(cell, epoch)
        if cell.reads + cell.writes < least.reads + least.writes:
            least = cell
    if least.reads + least.writes > weight:
        if least.reads >= least.writes:
            least.reads -= weight if least.reads > weight else least.reads
        else:
            least.writes -= weight if least.writes > weight else least.writes
        return 0
    least.hash = hash
    least.epoch = epoch
    least.reads = 0 if write else weight
    least.writes = weight if write else 0
    return weight

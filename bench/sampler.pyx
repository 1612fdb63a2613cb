# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Builds the alias table for a Zipf distribution; the drawing is inline in the .pxd."""
from libc.math cimport pow
from libc.stdlib cimport free, malloc


cdef class KeySampler:
    """Draws keys 0..keys-1; key k has probability proportional to 1/(k+1)^zipf, so key 0 is the hottest (0: uniform).

    The table costs 8 bytes a key, and its probabilities are exact to 2^-32 of a column.
    """

    def __cinit__(self, uint32_t keys, double zipf=0.0, uint64_t seed=1):
        if keys == 0:
            raise ValueError("a sampler needs at least one key")
        if zipf < 0:
            raise ValueError(f"zipf parameter {zipf} is negative")
        self.sampler.state = seed
        self.sampler.keys = keys
        self.sampler.cells = NULL
        if zipf > 0:
            self._build(zipf)

    def __dealloc__(self):
        free(self.sampler.cells)

    cdef void _build(self, double zipf) except *:
        """Vose's construction: columns short of the mean are topped up by one that has too much, O(keys)."""
        cdef uint32_t keys = self.sampler.keys
        cdef double* share = <double*>malloc(keys * sizeof(double))        # of the mean: 1.0 fills a column
        cdef uint32_t* todo = <uint32_t*>malloc(keys * sizeof(uint32_t))   # short from the left, long from the right
        cdef Cell* cells = <Cell*>malloc(keys * sizeof(Cell))
        cdef double total = 0
        cdef uint32_t k, short_one, long_one
        cdef uint32_t shorts = 0
        cdef uint32_t longs = keys
        if share == NULL or todo == NULL or cells == NULL:
            free(share)
            free(todo)
            free(cells)
            raise MemoryError
        for k in range(keys):
            share[k] = pow(k + 1.0, -zipf)
            total += share[k]
        for k in range(keys):
            share[k] *= keys / total
            cells[k].keep = <uint32_t>0xFFFFFFFF
            cells[k].other = k
            if share[k] < 1.0:
                todo[shorts] = k
                shorts += 1
            else:
                longs -= 1
                todo[longs] = k
        while shorts > 0 and longs < keys:
            shorts -= 1
            short_one = todo[shorts]
            long_one = todo[longs]
            cells[short_one].keep = <uint32_t>(share[short_one] * 4294967296.0)
            cells[short_one].other = long_one
            share[long_one] -= 1.0 - share[short_one]
            if share[long_one] < 1.0:
                longs += 1
                todo[shorts] = long_one
                shorts += 1
        free(share)
        free(todo)
        self.sampler.cells = cells

    def draw(self, int count) -> list:
        return [draw(&self.sampler) for _ in range(count)]

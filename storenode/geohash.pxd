# cython: language_level=3
"""Geohash: places on the earth as 52-bit cells that lie near each other as numbers where they do as places.

A cell's bits are those of its latitude and its longitude, interleaved; a shorter hash is a larger cell. What lies within
a shape is looked for in the cell of its centre and the eight around it. The grid, the size of the cells and the
earth's radius are Redis's, so that the same members have the same scores and come in the same order.
"""

from libc.stdint cimport uint64_t

cdef enum:
    STEPS = 26                 # bits of each coordinate in a score
    CELLS = 9

cdef struct Point:
    double longitude           # degrees
    double latitude

cdef struct Shape:
    Point centre
    bint box                   # else a circle
    double radius              # all three in the unit that was asked for
    double width
    double height
    double unit                # metres

cdef struct Cell:
    uint64_t bits
    int steps                  # of each coordinate; 0: not to be searched

cdef uint64_t point_score(const Point* point) noexcept nogil
cdef Point score_point(double score) noexcept nogil
cdef void point_text(const Point* point, char* text) noexcept nogil
cdef double distance(const Point* one, const Point* other) noexcept nogil
cdef bint within(const Shape* shape, const Point* point, double* metres) noexcept nogil
cdef void cells_of(const Shape* shape, Cell* cells) noexcept nogil
cdef void cell_scores(const Cell* cell, double* first, double* behind) noexcept nogil


cdef inline bint is_valid(const Point* point) noexcept nogil:
    """Web Mercator ends at 85 degrees."""
    return -180 <= point.longitude <= 180 and -85.05112878 <= point.latitude <= 85.05112878

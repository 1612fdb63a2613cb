# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Geohash. See geohash.pxd."""

from libc.math cimport M_PI, asin, cos, fabs, sin, sqrt
from libc.stdint cimport uint32_t, uint64_t

cdef double EARTH = 6372797.560856          # metres: the radius
cdef double MERCATOR_MOST = 20037726.37     # metres: half of the equator
cdef double LATITUDE_MOST = 85.05112878

cdef struct Area:
    Point low
    Point high


cdef inline double radians(double degrees) noexcept nogil:
    return degrees * (M_PI / 180)


cdef inline uint64_t spread(uint64_t bits) noexcept nogil:
    """Put a zero between any two of 32 bits."""
    bits = (bits | bits << 16) & <uint64_t> 0x0000FFFF0000FFFF
    bits = (bits | bits << 8) & <uint64_t> 0x00FF00FF00FF00FF
    bits = (bits | bits << 4) & <uint64_t> 0x0F0F0F0F0F0F0F0F
    bits = (bits | bits << 2) & <uint64_t> 0x3333333333333333
    return (bits | bits << 1) & <uint64_t> 0x5555555555555555


cdef inline uint64_t gather(uint64_t bits) noexcept nogil:
    """Every second bit, from the lowest on: spread() undone."""
    bits &= <uint64_t> 0x5555555555555555
    bits = (bits | bits >> 1) & <uint64_t> 0x3333333333333333
    bits = (bits | bits >> 2) & <uint64_t> 0x0F0F0F0F0F0F0F0F
    bits = (bits | bits >> 4) & <uint64_t> 0x00FF00FF00FF00FF
    bits = (bits | bits >> 8) & <uint64_t> 0x0000FFFF0000FFFF
    return (bits | bits >> 16) & <uint64_t> 0x00000000FFFFFFFF


cdef Cell encode(const Point* point, double latitude_most, int steps) noexcept nogil:
    cdef double latitude = (point.latitude + latitude_most) / (2 * latitude_most) * <double> (<uint64_t> 1 << steps)
    cdef double longitude = (point.longitude + 180) / 360 * <double> (<uint64_t> 1 << steps)
    cdef Cell cell
    cell.steps = steps
    cell.bits = spread(<uint32_t> latitude) | spread(<uint32_t> longitude) << 1
    return cell


cdef Area decode(const Cell* cell) noexcept nogil:
    cdef double size = <double> (<uint64_t> 1 << cell.steps)
    cdef uint64_t row = gather(cell.bits)
    cdef uint64_t column = gather(cell.bits >> 1)
    cdef Area area
    area.low.latitude = -LATITUDE_MOST + row / size * (2 * LATITUDE_MOST)
    area.high.latitude = -LATITUDE_MOST + (row + 1) / size * (2 * LATITUDE_MOST)
    area.low.longitude = -180 + column / size * 360
    area.high.longitude = -180 + (column + 1) / size * 360
    return area


cdef uint64_t point_score(const Point* point) noexcept nogil:
    return encode(point, LATITUDE_MOST, STEPS).bits


cdef Point score_point(double score) noexcept nogil:
    """The middle of a score's cell."""
    cdef Cell cell
    cdef Area area
    cdef Point point
    cell.bits = <uint64_t> score if 0 <= score < 9.2e18 else 0
    cell.steps = STEPS
    area = decode(&cell)
    point.longitude = (area.low.longitude + area.high.longitude) / 2
    point.latitude = (area.low.latitude + area.high.latitude) / 2
    if point.longitude > 180:
        point.longitude = 180
    if point.latitude > LATITUDE_MOST:
        point.latitude = LATITUDE_MOST
    return point


cdef void point_text(const Point* point, char* text) noexcept nogil:
    """The eleven letters of geohash.org, whose grid reaches the poles; the last would need 55 bits and is 0."""
    cdef const char* letters = b"0123456789bcdefghjkmnpqrstuvwxyz"
    cdef uint64_t bits = encode(point, 90, STEPS).bits
    cdef int index
    for index in range(10):
        text[index] = letters[bits >> (47 - 5 * index) & 31]
    text[10] = c'0'


cdef double distance(const Point* one, const Point* other) noexcept nogil:
    """Metres along the great circle, by the haversine formula."""
    cdef double v = sin((radians(other.longitude) - radians(one.longitude)) / 2)
    cdef double u = sin((radians(other.latitude) - radians(one.latitude)) / 2)
    return 2 * EARTH * asin(sqrt(u * u + cos(radians(one.latitude)) * cos(radians(other.latitude)) * v * v))


cdef bint within(const Shape* shape, const Point* point, double* metres) noexcept nogil:
    """Does a point lie in the shape, and how far from its centre?"""
    cdef Point beside
    metres[0] = distance(&shape.centre, point)
    if not shape.box:
        return metres[0] <= shape.radius * shape.unit
    if EARTH * fabs(radians(point.latitude) - radians(shape.centre.latitude)) > shape.height * shape.unit / 2:
        return False
    beside.longitude = shape.centre.longitude
    beside.latitude = point.latitude
    return distance(point, &beside) <= shape.width * shape.unit / 2


cdef Area bounds_of(const Shape* shape) noexcept nogil:
    """A rectangle of degrees around the shape; its sides are measured at the edge that is nearer to a pole."""
    cdef double height = shape.unit * (shape.height / 2 if shape.box else shape.radius)
    cdef double width = shape.unit * (shape.width / 2 if shape.box else shape.radius)
    cdef double rise = height / EARTH * (180 / M_PI)
    cdef double edge = shape.centre.latitude + (-rise if shape.centre.latitude < 0 else rise)
    cdef double reach = width / EARTH / cos(radians(edge)) * (180 / M_PI)
    cdef Area area
    area.low.longitude = shape.centre.longitude - reach
    area.high.longitude = shape.centre.longitude + reach
    area.low.latitude = shape.centre.latitude - rise
    area.high.latitude = shape.centre.latitude + rise
    return area


cdef int steps_for(double metres, double latitude) noexcept nogil:
    """Cells of about the size of a radius: nine of them hold the circle."""
    cdef int steps = 1
    if metres == 0:
        return STEPS
    while metres < MERCATOR_MOST:
        metres *= 2
        steps += 1
    steps -= 2
    # Towards the poles a degree of longitude gets short.
    if fabs(latitude) > 66:
        steps -= 2 if fabs(latitude) > 80 else 1
    return 1 if steps < 1 else STEPS if steps > STEPS else steps


cdef Cell neighbour(const Cell* cell, int rows, int columns) noexcept nogil:
    cdef uint64_t mask = (<uint64_t> 1 << cell.steps) - 1
    cdef Cell other
    other.steps = cell.steps
    other.bits = spread((gather(cell.bits) + rows) & mask) | spread((gather(cell.bits >> 1) + columns) & mask) << 1
    return other


cdef void neighbourhood(const Point* centre, int steps, Cell* cells) noexcept nogil:
    """The cell, then north, south, east, west, north-east, north-west, south-east, south-west of it."""
    cells[0] = encode(centre, LATITUDE_MOST, steps)
    cells[1] = neighbour(&cells[0], 1, 0)
    cells[2] = neighbour(&cells[0], -1, 0)
    cells[3] = neighbour(&cells[0], 0, 1)
    cells[4] = neighbour(&cells[0], 0, -1)
    cells[5] = neighbour(&cells[0], 1, 1)
    cells[6] = neighbour(&cells[0], 1, -1)
    cells[7] = neighbour(&cells[0], -1, 1)
    cells[8] = neighbour(&cells[0], -1, -1)


cdef void cells_of(const Shape* shape, Cell* cells) noexcept nogil:
    """The CELLS cells to search, in order; those that the shape does not reach have no steps."""
    cdef Area bounds = bounds_of(shape)
    cdef Area area
    cdef double metres = shape.radius
    cdef int steps
    if shape.box:
        metres = sqrt((shape.width / 2) * (shape.width / 2) + (shape.height / 2) * (shape.height / 2))
    steps = steps_for(metres * shape.unit, shape.centre.latitude)
    neighbourhood(&shape.centre, steps, cells)
    if steps > 1 and (decode(&cells[1]).high.latitude < bounds.high.latitude
                      or decode(&cells[2]).low.latitude > bounds.low.latitude
                      or decode(&cells[3]).high.longitude < bounds.high.longitude
                      or decode(&cells[4]).low.longitude > bounds.low.longitude):
        steps -= 1
        neighbourhood(&shape.centre, steps, cells)
    if steps < 2:
        return
    area = decode(&cells[0])
    if area.low.latitude < bounds.low.latitude:
        cells[2].steps = cells[7].steps = cells[8].steps = 0
    if area.high.latitude > bounds.high.latitude:
        cells[1].steps = cells[5].steps = cells[6].steps = 0
    if area.low.longitude < bounds.low.longitude:
        cells[4].steps = cells[6].steps = cells[8].steps = 0
    if area.high.longitude > bounds.high.longitude:
        cells[3].steps = cells[5].steps = cells[7].steps = 0


cdef void cell_scores(const Cell* cell, double* first, double* behind) noexcept nogil:
    """The scores of a cell's members: from `first` up to, not including, `behind`."""
    cdef int shift = 2 * (STEPS - cell.steps)
    first[0] = <double> (cell.bits << shift)
    behind[0] = <double> ((cell.bits + 1) << shift)

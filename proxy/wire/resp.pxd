# cython: language_level=3
"""RESP requests: find the end of one request in a run of bytes, and where its arguments lie.

Framing allocates nothing and never frames an argument twice: a request that is not complete yet leaves its place in
the Frame (`scanned`, `left`), and the next call goes on from there. All positions are offsets from the first byte of the
request, so the bytes may move between two calls.
"""

cdef enum:
    ARGS_KEPT = 4              # arguments whose place is kept; later ones are reached with args_begin()/args_next()
    LINE_LIMIT = 65536         # Redis's PROTO_INLINE_MAX_SIZE: bytes of a line that never ends

cdef enum FrameStatus:
    FRAMED = 0                 # one request is complete
    MORE = 1                   # it is not; `need` bytes may be enough
    BROKEN = 2                 # it never will be; `error` tells why

cdef enum FrameError:
    BAD_MULTIBULK_LENGTH = 1
    BAD_BULK_LENGTH = 2
    EXPECTED_DOLLAR = 3
    LONG_INLINE = 4
    LONG_MULTIBULK_LINE = 5
    LONG_BULK_LINE = 6
    UNBALANCED_QUOTES = 7
    UNAUTHENTICATED_MULTIBULK = 8
    UNAUTHENTICATED_BULK = 9


cdef struct Arg:               # 32 bits do: the ARGS_KEPT - 1 arguments before it take 3 GiB at most
    unsigned int offset        # from the first byte of the request
    unsigned int length


cdef struct Frame:
    const char* data           # first byte of the request; borrowed, valid only until the input moves
    size_t length              # of the whole request, once FRAMED
    size_t scanned             # where framing goes on; 0: at a fresh request
    size_t need                # after MORE: bytes of the request that must be there before another try can succeed
    unsigned int argc          # arguments of an array; 0: an empty array or an inline command
    unsigned int left          # arguments not framed yet
    unsigned int first         # offset of the first argument's '$'
    bint canonical             # an array with every CRLF in place: it may be forwarded byte for byte
    bint inline_form           # a line, not an array
    int error                  # FrameError, after BROKEN
    char culprit               # the byte found where '$' was expected
    Arg args[ARGS_KEPT]


cdef struct FrameLimits:
    unsigned long long max_bulk    # bytes of one argument (Redis: proto-max-bulk-len), at most 1 GiB: see Arg
    bint trusted                   # False before AUTH: at most 10 arguments of 16 KiB, as Redis


cdef int frame_request(Frame* frame, const char* data, size_t length, const FrameLimits* limits) noexcept nogil
cdef int protocol_error(const Frame* frame, char* text) noexcept nogil
cdef bint read_number(const char* text, size_t length, long long* value) noexcept nogil
cdef int write_number(char* at, long long value) noexcept nogil


cdef inline void frame_reset(Frame* frame) noexcept nogil:
    frame.scanned = 0


cdef inline const char* args_begin(const Frame* frame) noexcept nogil:
    """The place before argument 0 of a canonical, complete request."""
    return frame.data + frame.first


cdef inline const char* args_next(const char* at, const char** data, size_t* length) noexcept nogil:
    """Read the argument at `at`; returns the place before the next one. No checks: the frame was checked."""
    cdef size_t value = 0
    at += 1
    while at[0] != c'\r':
        value = value * 10 + <size_t> (at[0] - c'0')
        at += 1
    data[0] = at + 2
    length[0] = value
    return at + 2 + value + 2

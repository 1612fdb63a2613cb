# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Texts: filling error templates. See texts.pxd.

A template is literal pieces with a field after each. Fields come from clients and nodes, so CR and LF in them are
written as blanks: an error reply is one line, whatever somebody sent.
"""

from libc.string cimport memset, strlen

from proxy.engine.slots cimport slot_local
from proxy.engine.types cimport FIELD_NONE, Client, Core, ErrorArgs, Template
from proxy.wire.output cimport Output, output_append, output_clear

cdef enum:
    LONGEST_FIELD = 256        # bytes shown of a field


cdef void error_field(ErrorArgs* args, int field, const char* text, size_t length) noexcept nogil:
    """Set one field of an ErrorArgs that was zeroed before the first."""
    args.text[field] = text
    args.length[field] = <unsigned int> (length if length < LONGEST_FIELD else LONGEST_FIELD)


cdef void error_words(ErrorArgs* args, int field, const char* text) noexcept nogil:
    error_field(args, field, text, strlen(text))


cdef void error_write(Core* core, int kind, const ErrorArgs* args, Output* target) noexcept nogil:
    """Append the error reply `-…\\r\\n`."""
    cdef Template* template = &core.errors[kind]
    cdef int piece, field
    cdef unsigned int index
    cdef char byte
    template.made += 1
    output_append(target, &core.chunks, b"-", 1)
    for piece in range(template.count):
        output_append(target, &core.chunks, template.literal[piece], template.length[piece])
        field = template.field[piece]
        if field == FIELD_NONE or args == NULL or args.text[field] == NULL:
            continue
        for index in range(args.length[field]):
            byte = args.text[field][index]
            if byte == c'\r' or byte == c'\n':
                byte = c' '
            output_append(target, &core.chunks, &byte, 1)
    output_append(target, &core.chunks, b"\r\n", 2)


cdef void error_local(Core* core, Client* client, int kind, const ErrorArgs* args) noexcept nogil:
    """Answer the request being dispatched with an error, in its place."""
    cdef Output text
    memset(&text, 0, sizeof(text))
    error_write(core, kind, args, &text)
    # Below CHUNK_SIZE by construction: literals and at most FIELDS fields of LONGEST_FIELD bytes.
    slot_local(core, client, text.first.data, text.length)
    output_clear(&text, &core.chunks)

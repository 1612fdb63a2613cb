# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Words: making, finding, freeing. See words.pxd."""

from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, calloc, free
from libc.string cimport memcmp, memcpy

from storenode.types cimport Slice, Word


cdef void* zeroed(size_t size) noexcept nogil:
    cdef void* block = calloc(1, size)
    if block == NULL:
        fprintf(stderr, "quench: out of memory for %zu bytes of a user's rules\n", size)
        abort()
    return block


cdef Word* word_new(const char* data, size_t length) noexcept nogil:
    """A text on its own, with a NUL behind it."""
    cdef Word* word = <Word*> zeroed(sizeof(Word) + length + 1)
    word.length = length
    memcpy(word_text(word), data, length)
    return word


cdef char* word_text(const Word* word) noexcept nogil:
    return <char*> (word + 1)


cdef bint word_is(const Word* word, const Slice* text) noexcept nogil:
    return word.length == text.length and memcmp(word_text(word), text.data, text.length) == 0


cdef void words_free(Word* words) noexcept nogil:
    cdef Word* following
    while words != NULL:
        following = words.next
        free(words)
        words = following


cdef void words_append(Word** list, Word* word) noexcept nogil:
    while list[0] != NULL:
        list = &list[0].next
    list[0] = word


cdef Word* words_copy(const Word* words) noexcept nogil:
    cdef Word* copy = NULL
    cdef Word** end = &copy
    while words != NULL:
        end[0] = word_new(word_text(words), words.length)
        end[0].access = words.access
        end = &end[0].next
        words = words.next
    return copy


cdef void words_drop(Word** list, const char* data, size_t length, bint under) noexcept nogil:
    """Remove a text, or with `under` all that begin with it and a bar; the sign in front does not count."""
    cdef Word* word
    cdef const char* text
    while list[0] != NULL:
        word = list[0]
        text = word_text(word) + 1
        if (word.length > length and memcmp(text, data, length) == 0
                and (word.length - 1 == length or (under and text[length] == c'|'))):
            list[0] = word.next
            free(word)
        else:
            list = &word.next

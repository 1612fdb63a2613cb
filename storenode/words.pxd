# cython: language_level=3
"""Words: texts in lists, for what is kept of users: patterns, passwords, rules. Binary safe, each with a NUL behind it."""

from storenode.types cimport Slice, Word

cdef void* zeroed(size_t size) noexcept nogil
cdef Word* word_new(const char* data, size_t length) noexcept nogil
cdef char* word_text(const Word* word) noexcept nogil
cdef bint word_is(const Word* word, const Slice* text) noexcept nogil
cdef void words_free(Word* words) noexcept nogil
cdef void words_append(Word** list, Word* word) noexcept nogil
cdef Word* words_copy(const Word* words) noexcept nogil
cdef void words_drop(Word** list, const char* data, size_t length, bint under) noexcept nogil

# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Notify: see notify.pxd."""

from libc.stdio cimport snprintf
from libc.string cimport memcpy, strlen

from storenode.channels cimport channels_deliver
from storenode.text cimport Text, text_free, text_room
from storenode.types cimport CHANNEL, PATTERN, Database, Node, Slice

cdef enum:
    LETTERS = 14
    ALL_LETTERS = 10           # of them that "A" stands for: the first

# In the order in which CONFIG GET shows them. Of `t` (streams) and `d` (modules) nothing happens here.
cdef const char* letters = b"g$lshzxetdnKEm"
cdef int KEYSPACE = 1 << 11
cdef int KEYEVENT = 1 << 12
cdef int EVERYTHING = (1 << 10) - 1


cdef int bit_of(char letter) noexcept nogil:
    """0: not a letter of the setting."""
    cdef int index
    for index in range(LETTERS):
        if letters[index] == letter:
            return 1 << index
    return EVERYTHING if letter == c'A' else 0


cdef bint notify_read(const Slice* value, int* classes) noexcept nogil:
    """The setting's letters as bits; False: one of them is none."""
    cdef size_t index
    classes[0] = 0
    for index in range(value.length):
        if bit_of(value.data[index]) == 0:
            return False
        classes[0] |= bit_of(value.data[index])
    return True


cdef void notify_show(Node* node, Text* text) noexcept nogil:
    cdef int index
    cdef char* at = text_room(text, LETTERS)
    cdef int length = 0
    cdef bint everything = node.notify & EVERYTHING == EVERYTHING
    if everything:
        at[0] = c'A'
        length = 1
    # `n` is none of them, but redis-server shows it only where it spells them out.
    for index in range(ALL_LETTERS + 1 if everything else 0, LETTERS):
        if node.notify >> index & 1:
            at[length] = letters[index]
            length += 1
    text.length += length


cdef bint notify_wants(const Node* node, char group) noexcept nogil:
    return node.notify & bit_of(group) != 0


cdef void tell(Database* database, const char* kind, const Slice* subject, const Slice* message) noexcept nogil:
    """`__<kind>@<database>__:<subject>`."""
    cdef Text text = Text(data=NULL, length=0, room=0)
    cdef Slice channel
    text.length += snprintf(text_room(&text, 48), 48, b"__%s@%d__:", kind, database.number)
    memcpy(text_room(&text, subject.length), subject.data, subject.length)
    text.length += subject.length
    channel.data = text.data
    channel.length = text.length
    channels_deliver(database.node, CHANNEL, &channel, message, False)
    text_free(&text)


cdef void notify(Database* database, const Slice* key, const char* event, char group) noexcept nogil:
    """Tell what happened to a key, if its class is switched on and anybody is subscribed to anything."""
    cdef Node* node = database.node
    cdef Slice word
    if not notify_wants(node, group) or node.channels[CHANNEL].count + node.channels[PATTERN].count == 0:
        return
    word.data = event
    word.length = strlen(event)
    if node.notify & KEYSPACE:
        tell(database, b"keyspace", key, &word)
    if node.notify & KEYEVENT:
        tell(database, b"keyevent", &word, key)

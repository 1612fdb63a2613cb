# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Users: from the records of proxy/acl.py to the structs that rights.pyx reads. Runs once, with the GIL.

Commands become one bit a row. What the structs point at is kept alive by the engine's list, as its other texts are.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint64_t

from proxy.engine.types cimport USE_READ, USE_WRITE, FirstArgument, Pattern, Pool, Selector, User

from proxy.settings import MASK


cdef void* room(list kept, size_t size):
    """Zeroed memory that lives as long as `kept`."""
    memory = bytearray(max(size, 1))
    kept.append(memory)
    return PyByteArray_AS_STRING(memory)


cdef const char* keep(list kept, bytes text):
    kept.append(text)
    return PyBytes_AS_STRING(text)


cdef build_users(Pool* pool, list kept, users, list names):
    """Compile the users of a pool, the default user among them; `names` are the commands by row."""
    cdef User* user
    rows = {name: index for index, name in enumerate(names)}
    pool.users = <User*> room(kept, len(users) * sizeof(User))
    pool.user_count = len(users)
    for index, record in enumerate(users):
        user = &pool.users[index]
        name = record.name.encode()
        # The mask stands for a password that nobody knows: it is that of a configuration which was printed.
        hashes = [bytes.fromhex(known.reveal()) for known in record.hashes if known.reveal() != MASK]
        user.name = keep(kept, name)
        user.name_length = len(name)
        user.index = index
        user.enabled = record.enabled
        user.any_password = record.no_password
        user.restricted = not record.unrestricted
        user.scripts = record.scripts
        user.hash_count = len(hashes)
        user.hashes = <const unsigned char*> keep(kept, b"".join(hashes))
        user.selector_count = len(record.selectors)
        user.selectors = <Selector*> room(kept, len(record.selectors) * sizeof(Selector))
        for place, selector in enumerate(record.selectors):
            fill_selector(&user.selectors[place], kept, selector, rows)
        if name == b"default":
            pool.default_user = user
    if pool.default_user == NULL:
        raise ValueError("a pool needs a user called default")


cdef fill_selector(Selector* selector, list kept, record, dict rows):
    cdef int row
    selector.commands = <uint64_t*> room(kept, (len(rows) + 63) // 64 * sizeof(uint64_t))
    for name in record.commands:
        row = rows[name]
        selector.commands[row >> 6] |= <uint64_t> 1 << (row & 63)
    selector.first_count = len(record.first_arguments)
    selector.first = <FirstArgument*> room(kept, selector.first_count * sizeof(FirstArgument))
    for place, (name, word) in enumerate(record.first_arguments):
        selector.first[place].row = rows[name]
        selector.first[place].word = keep(kept, word.encode())
    selector.all_keys = record.all_keys
    selector.key_count = len(record.keys)
    selector.keys = <Pattern*> room(kept, selector.key_count * sizeof(Pattern))
    for place, key in enumerate(record.keys):
        fill_pattern(&selector.keys[place], kept, key.pattern,
                     (USE_READ if key.read else 0) | (USE_WRITE if key.write else 0))
    selector.all_channels = record.all_channels
    selector.channel_count = len(record.channels)
    selector.channels = <Pattern*> room(kept, selector.channel_count * sizeof(Pattern))
    for place, channel in enumerate(record.channels):
        fill_pattern(&selector.channels[place], kept, channel, 0)


cdef fill_pattern(Pattern* pattern, list kept, str text, int use):
    encoded = text.encode()
    pattern.text = keep(kept, encoded)
    pattern.length = len(encoded)
    pattern.use = use

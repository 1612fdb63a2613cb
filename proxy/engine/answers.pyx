# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Answers: PING, ECHO, HELLO, AUTH, SELECT, RESET, QUIT, TIME and the CLIENT subcommands of one's own. See answers.pxd.

Texts are those of redis-server 7.2. Commands that change the connection run as barriers: when they get here, every
earlier request of the client was answered.
"""

from libc.stdint cimport uint64_t
from libc.stdlib cimport abort, free, malloc
from libc.string cimport memcpy, memset, strlen

from proxy.engine.lookup cimport same_word
from proxy.engine.rights cimport user_authenticate, user_default
from proxy.engine.slots cimport slot_local, slot_say
from proxy.engine.types cimport (
    ANSWER_ACL_WHOAMI, ANSWER_AUTH, ANSWER_CLIENT_FLAG, ANSWER_CLIENT_GETNAME, ANSWER_CLIENT_ID, ANSWER_CLIENT_OK,
    ANSWER_CLIENT_REPLY, ANSWER_CLIENT_SETINFO, ANSWER_CLIENT_SETNAME, ANSWER_ECHO, ANSWER_HELLO, ANSWER_PING,
    ANSWER_QUENCH, ANSWER_QUIT, ANSWER_RESET, ANSWER_SELECT, ANSWER_TIME, CLIENT_CLOSING, CLIENT_NO_EVICT, CLIENT_NO_TOUCH,
    CLIENT_SILENT, CLIENT_SKIP, CLIENT_SUBSCRIBER, CLIENT_TRUSTED, DATABASES, Client, Core, Row, User,
)
from proxy.engine.voices cimport LEVEL_ALL, LEVEL_ONE, LEVEL_POOL, LEVEL_QUORUM
from proxy.wire.output cimport Output, output_append, output_bulk, output_clear, output_flatten, output_number
from proxy.wire.resp cimport Frame, args_begin, args_next, read_number, write_number
from proxy.wire.system cimport realtime_us

cdef enum:
    MOST_ARGS = 8              # of any command here; more is a syntax error


cdef struct Words:
    int count
    const char* text[MOST_ARGS]
    size_t length[MOST_ARGS]


cdef void say_output(Core* core, Client* client, Output* output) noexcept nogil:
    """Answer with what was composed."""
    output_flatten(output, &core.chunks)
    slot_local(core, client, output.first.data, output.length)
    output_clear(output, &core.chunks)


cdef void say_bulk(Core* core, Client* client, const char* text, size_t length) noexcept nogil:
    cdef Output output
    memset(&output, 0, sizeof(output))
    output_bulk(&output, &core.chunks, text, length)
    say_output(core, client, &output)


cdef void pong(Core* core, Client* client, const char* text, size_t length) noexcept nogil:
    """PING in RESP2's subscribe mode is answered in the form of a message."""
    cdef Output output
    memset(&output, 0, sizeof(output))
    output_append(&output, &core.chunks, b"*2\r\n$4\r\npong\r\n", 14)
    output_bulk(&output, &core.chunks, text, length)
    say_output(core, client, &output)


cdef void say_quoted(Core* core, Client* client, const char* before, const char* text, size_t length,
                     const char* after) noexcept nogil:
    """An error that shows up to 128 bytes of what the client sent, on one line whatever they are."""
    cdef Output output
    cdef size_t index
    cdef char byte
    memset(&output, 0, sizeof(output))
    output_append(&output, &core.chunks, before, strlen(before))
    for index in range(length if length < 128 else 128):
        byte = text[index]
        if byte == c'\r' or byte == c'\n':
            byte = c' '
        output_append(&output, &core.chunks, &byte, 1)
    output_append(&output, &core.chunks, after, strlen(after))
    say_output(core, client, &output)


cdef bint plain_word(const char* text, size_t length) noexcept nogil:
    """Printable, without blanks: what a name may be made of."""
    cdef size_t index
    for index in range(length):
        if text[index] < c'!' or text[index] > c'~':
            return False
    return True


cdef void keep_word(char** place, const char* text, size_t length) noexcept nogil:
    """Replace an owned string; an empty one becomes NULL."""
    free(place[0])
    place[0] = NULL
    if length:
        place[0] = <char*> malloc(length + 1)
        if place[0] == NULL:
            abort()
        memcpy(place[0], text, length)
        place[0][length] = 0


cdef void answer(Core* core, Client* client, Row* row, const Frame* frame) noexcept nogil:
    """Answer one request whose arity was checked."""
    cdef Words words
    cdef const char* at = args_begin(frame)
    cdef char text[32]
    cdef int what = row.answer
    words.count = 0
    while words.count < <int> frame.argc and words.count < MOST_ARGS:
        at = args_next(at, &words.text[words.count], &words.length[words.count])
        words.count += 1
    core.counters.local += 1
    if what == ANSWER_PING:
        if frame.argc > 2:
            slot_say(core, client, b"-ERR wrong number of arguments for 'ping' command\r\n")
        elif client.flags & CLIENT_SUBSCRIBER and client.protocol == 2:
            pong(core, client, words.text[1], words.length[1] if frame.argc == 2 else 0)
        elif frame.argc == 2:
            say_bulk(core, client, words.text[1], words.length[1])
        else:
            slot_local(core, client, b"+PONG\r\n", 7)
    elif what == ANSWER_ECHO:
        say_bulk(core, client, words.text[1], words.length[1])
    elif what == ANSWER_QUIT:
        slot_say(core, client, b"+OK\r\n")
        client.flags |= CLIENT_CLOSING
    elif what == ANSWER_RESET:
        client_reset(client)
        slot_say(core, client, b"+RESET\r\n")
    elif what == ANSWER_HELLO:
        hello(core, client, frame)
    elif what == ANSWER_AUTH:
        auth(core, client, &words, frame)
    elif what == ANSWER_SELECT:
        select(core, client, words.text[1], words.length[1])
    elif what == ANSWER_TIME:
        time(core, client)
    elif what == ANSWER_CLIENT_ID:
        text[0] = c':'
        slot_local(core, client, text, 1 + write_number(text + 1, <long long> client.id))
    elif what == ANSWER_CLIENT_SETNAME:
        if not plain_word(words.text[2], words.length[2]):
            slot_say(core, client, b"-ERR Client names cannot contain spaces, newlines or special characters.\r\n")
        else:
            keep_word(&client.name, words.text[2], words.length[2])
            slot_say(core, client, b"+OK\r\n")
    elif what == ANSWER_CLIENT_GETNAME:
        if client.name != NULL:
            say_bulk(core, client, client.name, strlen(client.name))
        else:
            slot_say(core, client, b"_\r\n" if client.protocol == 3 else b"$-1\r\n")
    elif what == ANSWER_CLIENT_SETINFO:
        set_info(core, client, &words)
    elif what == ANSWER_CLIENT_FLAG:
        set_flag(core, client, &words)
    elif what == ANSWER_ACL_WHOAMI:
        say_bulk(core, client, client.user.name, client.user.name_length)
    elif what == ANSWER_CLIENT_REPLY:
        set_reply(core, client, &words)
    elif what == ANSWER_QUENCH:
        set_levels(core, client, &words)
    elif what == ANSWER_CLIENT_OK:
        # Nothing to announce: a proxy's clients never have to move to another endpoint.
        slot_say(core, client, b"+OK\r\n")
    else:
        slot_say(core, client, b"-ERR This instance has cluster support disabled\r\n")


cdef void client_reset(Client* client) noexcept nogil:
    """Everything that a client can change about its connection is as it was at first."""
    client.database = client.pool.database
    client.protocol = 2
    client.flags &= ~(<unsigned int> (CLIENT_NO_EVICT | CLIENT_NO_TOUCH | CLIENT_SUBSCRIBER))
    if not client.flags & CLIENT_SKIP:
        client.flags &= ~(<unsigned int> CLIENT_SILENT)
    client.read_level = client.write_level = LEVEL_POOL
    client.once = 0
    keep_word(&client.name, NULL, 0)
    user_default(client)


cdef void select(Core* core, Client* client, const char* text, size_t length) noexcept nogil:
    cdef long long number = 0
    if not read_number(text, length, &number):
        slot_say(core, client, b"-ERR value is not an integer or out of range\r\n")
    elif number < 0 or number >= DATABASES:
        slot_say(core, client, b"-ERR DB index is out of range\r\n")
    elif number and client.pool.cluster != NULL:
        slot_say(core, client, b"-ERR SELECT is not allowed in cluster mode: a Redis Cluster has database 0 only\r\n")
    else:
        client.database = <unsigned char> number
        slot_say(core, client, b"+OK\r\n")


cdef void time(Core* core, Client* client) noexcept nogil:
    cdef Output output
    cdef char text[32]
    cdef uint64_t now = realtime_us()
    memset(&output, 0, sizeof(output))
    output_append(&output, &core.chunks, b"*2\r\n", 4)
    output_bulk(&output, &core.chunks, text, write_number(text, <long long> (now // 1000000)) - 2)
    output_bulk(&output, &core.chunks, text, write_number(text, <long long> (now % 1000000)) - 2)
    say_output(core, client, &output)


# -- who the client is ----------------------------------------------------------------------------------------------

cdef void auth(Core* core, Client* client, const Words* words, const Frame* frame) noexcept nogil:
    cdef User* user = client.pool.default_user
    cdef bint named = frame.argc == 3
    if frame.argc > 3:
        slot_say(core, client, b"-ERR syntax error\r\n")
    elif not named and user.any_password:
        slot_say(core, client, b"-ERR AUTH <password> called without any password configured for the default user. "
            b"Are you sure your configuration is correct?\r\n")
    elif user_authenticate(core, client, frame, words.text[1] if named else user.name,
                           words.length[1] if named else user.name_length,
                           words.text[1 + named], words.length[1 + named]):
        slot_say(core, client, b"+OK\r\n")
    else:
        slot_say(core, client, b"-WRONGPASS invalid username-password pair or user is disabled.\r\n")


cdef void hello(Core* core, Client* client, const Frame* frame) noexcept nogil:
    """HELLO [protocol [AUTH user password] [SETNAME name]]: all or nothing."""
    cdef const char* at = args_begin(frame)
    cdef const char* text
    cdef const char* name = NULL
    cdef const char* user = NULL
    cdef const char* password = NULL
    cdef size_t length, name_length = 0, user_length = 0, password_length = 0
    cdef long long protocol = client.protocol
    cdef unsigned int place = 2
    cdef Output output
    cdef bint map_reply
    at = args_next(at, &text, &length)
    if frame.argc > 1:
        at = args_next(at, &text, &length)
        if not read_number(text, length, &protocol):
            slot_say(core, client, b"-ERR Protocol version is not an integer or out of range\r\n")
            return
        if protocol != 2 and protocol != 3:
            slot_say(core, client, b"-NOPROTO unsupported protocol version\r\n")
            return
    while place < frame.argc:
        at = args_next(at, &text, &length)
        if same_word(text, length, b"auth") and frame.argc - place > 2:
            at = args_next(at, &user, &user_length)
            at = args_next(at, &password, &password_length)
            place += 3
        elif same_word(text, length, b"setname") and frame.argc - place > 1:
            at = args_next(at, &name, &name_length)
            if not plain_word(name, name_length):
                slot_say(core, client, b"-ERR Client names cannot contain spaces, newlines or special characters.\r\n")
                return
            place += 2
        else:
            say_quoted(core, client, b"-ERR Syntax error in HELLO option '", text, length, b"'\r\n")
            return
    if user != NULL and not user_authenticate(core, client, frame, user, user_length, password, password_length):
        slot_say(core, client, b"-WRONGPASS invalid username-password pair or user is disabled.\r\n")
        return
    if not client.flags & CLIENT_TRUSTED:
        slot_say(core, client, b"-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO "
            b"<proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol "
            b"version at the same time\r\n")
        return
    client.protocol = <unsigned char> protocol
    if name != NULL:
        keep_word(&client.name, name, name_length)
    map_reply = protocol == 3
    memset(&output, 0, sizeof(output))
    output_number(&output, &core.chunks, c'%' if map_reply else c'*', 7 if map_reply else 14)
    output_append(&output, &core.chunks, b"$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.0\r\n", 47)
    output_append(&output, &core.chunks, b"$5\r\nproto\r\n", 11)
    output_number(&output, &core.chunks, c':', protocol)
    output_append(&output, &core.chunks, b"$2\r\nid\r\n", 8)
    output_number(&output, &core.chunks, c':', <long long> client.id)
    output_append(&output, &core.chunks, b"$4\r\nmode\r\n$10\r\nstandalone\r\n", 27)
    output_append(&output, &core.chunks, b"$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n", 39)
    say_output(core, client, &output)


cdef void set_info(Core* core, Client* client, const Words* words) noexcept nogil:
    """CLIENT SETINFO LIB-NAME x | LIB-VER x."""
    cdef bint is_name = same_word(words.text[2], words.length[2], b"lib-name")
    if not is_name and not same_word(words.text[2], words.length[2], b"lib-ver"):
        say_quoted(core, client, b"-ERR Unrecognized option '", words.text[2], words.length[2], b"'\r\n")
    elif not plain_word(words.text[3], words.length[3]):
        slot_say(core, client, b"-ERR lib-name cannot contain spaces, newlines or special characters.\r\n" if is_name else
            b"-ERR lib-ver cannot contain spaces, newlines or special characters.\r\n")
    else:
        keep_word(&client.library if is_name else &client.library_version, words.text[3], words.length[3])
        slot_say(core, client, b"+OK\r\n")


cdef void set_flag(Core* core, Client* client, const Words* words) noexcept nogil:
    """CLIENT NO-EVICT | NO-TOUCH, ON | OFF: remembered and shown in CLIENT LIST; shared connections keep their own."""
    cdef unsigned int flag = CLIENT_NO_EVICT if same_word(words.text[1], words.length[1], b"no-evict") \
        else CLIENT_NO_TOUCH
    if same_word(words.text[2], words.length[2], b"on"):
        client.flags |= flag
    elif same_word(words.text[2], words.length[2], b"off"):
        client.flags &= ~flag
    else:
        slot_say(core, client, b"-ERR syntax error\r\n")
        return
    slot_say(core, client, b"+OK\r\n")


cdef int level_named(const char* text, size_t length) noexcept nogil:
    if same_word(text, length, b"default"):
        return LEVEL_POOL
    if same_word(text, length, b"one"):
        return LEVEL_ONE
    if same_word(text, length, b"quorum"):
        return LEVEL_QUORUM
    return LEVEL_ALL if same_word(text, length, b"all") else -1


cdef void set_levels(Core* core, Client* client, const Words* words) noexcept nogil:
    """CLIENT QUENCH CONSISTENCY [READ level] [WRITE level] [ONCE]: until further notice, or for the next request."""
    cdef int reads = client.read_level
    cdef int writes = client.write_level
    cdef int index = 3
    cdef int level
    cdef bint once = False
    if not client.pool.copies:
        slot_say(core, client, b"-ERR keys have no copies in this pool: it needs replication: ring\r\n")
        return
    if not same_word(words.text[2], words.length[2], b"consistency") or words.count < 4 or words.count == MOST_ARGS:
        slot_say(core, client, b"-ERR syntax error\r\n")
        return
    while index < words.count:
        if index + 1 == words.count and same_word(words.text[index], words.length[index], b"once"):
            once = True
            index += 1
            continue
        level = level_named(words.text[index + 1], words.length[index + 1]) if index + 1 < words.count else -1
        if level >= 0 and level != LEVEL_ALL and same_word(words.text[index], words.length[index], b"read"):
            reads = level
        elif level >= 0 and same_word(words.text[index], words.length[index], b"write"):
            writes = level
        else:
            slot_say(core, client, b"-ERR syntax error\r\n")
            return
        index += 2
    if once:
        # This command is not counted yet.
        client.once = client.commands + 1
        client.once_read = <unsigned char> reads
        client.once_write = <unsigned char> writes
    else:
        client.read_level = <unsigned char> reads
        client.write_level = <unsigned char> writes
    slot_say(core, client, b"+OK\r\n")


cdef void set_reply(Core* core, Client* client, const Words* words) noexcept nogil:
    """CLIENT REPLY ON | OFF | SKIP: a barrier, so nothing is owed that would be dropped or have to be kept."""
    if same_word(words.text[2], words.length[2], b"on"):
        client.flags &= ~(<unsigned int> (CLIENT_SILENT | CLIENT_SKIP))
        slot_say(core, client, b"+OK\r\n")
    elif same_word(words.text[2], words.length[2], b"off"):
        client.flags &= ~(<unsigned int> CLIENT_SKIP)
        client.flags |= CLIENT_SILENT
    elif not same_word(words.text[2], words.length[2], b"skip"):
        slot_say(core, client, b"-ERR syntax error\r\n")
    elif not client.flags & CLIENT_SILENT or client.flags & CLIENT_SKIP:
        # This command is not counted yet; blocked() in client.pyx ends it when the next one was counted and answered.
        client.flags |= CLIENT_SILENT | CLIENT_SKIP
        client.skip_until = client.commands + 2

# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Session commands. See session.pxd."""

from libc.stdint cimport uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, strlen

from proxy.wire.input cimport input_length
from proxy.wire.resp cimport read_number
from proxy.wire.system cimport EPOLLIN, EPOLLOUT, realtime_us
from storenode.acl cimport acl_login
from storenode.answer cimport (
    answer_array, answer_bulk, answer_error, answer_map, answer_nil, answer_number, answer_ok,
    answer_raw, answer_syntax, answer_text, answer_verbatim,
)
from storenode.arguments cimport copy_text, is_plain, is_word, take_integer
from storenode.connection cimport client_close, client_find, client_reset
from storenode.replication cimport is_replica
from storenode.text cimport Text, text_free, text_room
from storenode.types cimport (
    CHANNEL, DATABASES, OUTPUT_CLASSES, OUTPUT_NORMAL, OUTPUT_PUBSUB, OUTPUT_REPLICA, PATTERN, SHARD, TRACK_BCAST,
    TRACK_BROKEN, Call, Client, Node, Slice, User,
)
from storenode.users cimport user_find
from storenode.words cimport word_text

cdef void command_ping(Call* call) noexcept nogil:
    if call.argc > 2:
        answer_error(call, b"ERR wrong number of arguments for 'ping' command")
    elif call.argc == 2:
        if call.client.subscriptions and call.client.resp == 2:
            answer_raw(call, b"*2\r\n$4\r\npong\r\n", 14)
        answer_bulk(call, call.argv[1].data, call.argv[1].length)
    elif call.client.subscriptions and call.client.resp == 2:
        answer_raw(call, b"*2\r\n$4\r\npong\r\n$0\r\n\r\n", 20)
    else:
        answer_raw(call, b"+PONG\r\n", 7)


cdef void command_echo(Call* call) noexcept nogil:
    answer_bulk(call, call.argv[1].data, call.argv[1].length)


cdef void command_quit(Call* call) noexcept nogil:
    answer_ok(call)
    call.client.closing = True


cdef void command_reset(Call* call) noexcept nogil:
    client_reset(call.node, call.client)
    call.database = call.client.database
    call.output = &call.client.output
    answer_raw(call, b"+RESET\r\n", 8)


cdef void command_select(Call* call) noexcept nogil:
    cdef long long number
    if not take_integer(call, &call.argv[1], &number):
        return
    if number > 2147483647 or number < -2147483648:
        answer_error(call, b"ERR value is out of range, value must between -2147483648 and 2147483647")
    elif number < 0 or number >= DATABASES:
        answer_error(call, b"ERR DB index is out of range")
    else:
        call.client.database = &call.node.databases[number]
        call.database = call.client.database
        answer_ok(call)


cdef void command_time(Call* call) noexcept nogil:
    cdef uint64_t now = realtime_us()
    cdef char text[24]
    answer_array(call, 2)
    answer_bulk(call, text, snprintf(text, sizeof(text), b"%llu", <unsigned long long> (now // 1000000)))
    answer_bulk(call, text, snprintf(text, sizeof(text), b"%llu", <unsigned long long> (now % 1000000)))


cdef bint authenticate(Call* call, const Slice* user, const Slice* given) noexcept nogil:
    cdef Slice name = Slice(data=b"default", length=7)
    return acl_login(call, user if user != NULL else &name, given)


cdef void command_auth(Call* call) noexcept nogil:
    if call.argc > 3:
        answer_syntax(call)
        return
    if call.argc == 2 and call.node.user_default.nopass:
        answer_error(call, b"ERR AUTH <password> called without any password configured for the default user. "
                           b"Are you sure your configuration is correct?")
        return
    if authenticate(call, &call.argv[1] if call.argc == 3 else NULL, &call.argv[call.argc - 1]):
        answer_ok(call)


cdef void keep(char** field, const Slice* text) noexcept nogil:
    """Remember a copy as a C string; an empty one is forgotten."""
    free(field[0])
    field[0] = NULL
    if text.length:
        field[0] = <char*> malloc(text.length + 1)
        if field[0] != NULL:
            memcpy(field[0], text.data, text.length)
            field[0][text.length] = 0


cdef bint set_name(Call* call, const Slice* name) noexcept nogil:
    if not is_plain(name):
        answer_error(call, b"ERR Client names cannot contain spaces, newlines or special characters.")
        return False
    keep(&call.client.name, name)
    return True


cdef void command_hello(Call* call) noexcept nogil:
    """HELLO [2|3 [AUTH user password] [SETNAME name]]."""
    cdef char option[96]
    cdef char text[192]
    cdef long long version = 0
    cdef int index = 2
    if call.argc >= 2:
        if not read_number(call.argv[1].data, call.argv[1].length, &version):
            answer_error(call, b"ERR Protocol version is not an integer or out of range")
            return
        if version < 2 or version > 3:
            answer_error(call, b"NOPROTO unsupported protocol version")
            return
    while index < call.argc:
        if is_word(&call.argv[index], b"auth") and index + 2 < call.argc:
            if not authenticate(call, &call.argv[index + 1], &call.argv[index + 2]):
                return
            index += 2
        elif is_word(&call.argv[index], b"setname") and index + 1 < call.argc:
            if not set_name(call, &call.argv[index + 1]):
                return
            index += 1
        else:
            copy_text(option, sizeof(option), &call.argv[index])
            snprintf(text, sizeof(text), b"ERR Syntax error in HELLO option '%s'", option)
            answer_error(call, text)
            return
        index += 1
    if not call.client.authenticated:
        answer_error(call, b"NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO "
                           b"<proto> AUTH <user> <pass> option can be used to authenticate the client and select the "
                           b"RESP protocol version at the same time")
        return
    if version:
        call.client.resp = <int> version
    answer_map(call, 7)
    answer_text(call, b"server")
    answer_text(call, b"redis")
    answer_text(call, b"version")
    answer_text(call, STORE_VERSION)
    answer_text(call, b"proto")
    answer_number(call, call.client.resp)
    answer_text(call, b"id")
    answer_number(call, <long long> call.client.id)
    answer_text(call, b"mode")
    answer_text(call, b"standalone")
    answer_text(call, b"role")
    answer_text(call, b"master" if call.node.primary == NULL else b"replica")
    answer_text(call, b"modules")
    answer_array(call, 0)


cdef void command_client_id(Call* call) noexcept nogil:
    answer_number(call, <long long> call.client.id)


cdef void command_client_setname(Call* call) noexcept nogil:
    if set_name(call, &call.argv[2]):
        answer_ok(call)


cdef void command_client_getname(Call* call) noexcept nogil:
    if call.client.name == NULL:
        answer_nil(call)
    else:
        answer_text(call, call.client.name)


cdef void command_client_setinfo(Call* call) noexcept nogil:
    """CLIENT SETINFO lib-name|lib-ver value, of Redis 7.2: clients send it unasked."""
    cdef char option[96]
    cdef char text[192]
    cdef bint is_name = is_word(&call.argv[2], b"lib-name")
    copy_text(option, sizeof(option), &call.argv[2])
    if not is_name and not is_word(&call.argv[2], b"lib-ver"):
        snprintf(text, sizeof(text), b"ERR Unrecognized option '%s'", option)
        answer_error(call, text)
    elif not is_plain(&call.argv[3]):
        snprintf(text, sizeof(text), b"ERR %s cannot contain spaces, newlines or special characters.", option)
        answer_error(call, text)
    else:
        keep(&call.client.library_name if is_name else &call.client.library_version, &call.argv[3])
        answer_ok(call)


cdef inline const char* or_empty(const char* text) noexcept nogil:
    if text == NULL:
        return b""
    return text


cdef inline void flag(char* letters, int* count, char letter, bint shown) noexcept nogil:
    if shown:
        letters[count[0]] = letter
        count[0] += 1


cdef void client_describe(Node* node, Client* client, Text* text) noexcept nogil:
    """A client as one line, without its end."""
    cdef size_t room = 640
    cdef char flags[20]
    cdef char events[4]
    cdef const char* command = b"NULL"
    cdef int count = 0
    if client.row != NULL:
        command = client.row.name
    flag(flags, &count, c'O', client.monitoring)
    flag(flags, &count, c'S', is_replica(client))
    flag(flags, &count, c'P', client.subscriptions != 0)
    flag(flags, &count, c'x', client.transaction.begun)
    flag(flags, &count, c'b', client.wait != NULL or client.held)
    flag(flags, &count, c't', client.tracking != 0)
    flag(flags, &count, c'R', client.tracking & TRACK_BROKEN != 0)
    flag(flags, &count, c'B', client.tracking & TRACK_BCAST != 0)
    flag(flags, &count, c'd', client.dirty)
    flag(flags, &count, c'c', client.closing)
    flag(flags, &count, c'e', client.no_evict)
    flag(flags, &count, c'T', client.no_touch)
    flag(flags, &count, c'N', count == 0)
    flags[count] = 0
    count = 0
    flag(events, &count, c'r', client.handle.interest & EPOLLIN != 0)
    flag(events, &count, c'w', client.handle.interest & EPOLLOUT != 0)
    events[count] = 0
    room += strlen(or_empty(client.name)) + strlen(or_empty(client.library_name))
    room += strlen(or_empty(client.library_version)) + client.user.name.length
    text.length += snprintf(
        text_room(text, room), room,
        b"id=%llu addr=%s laddr=%s fd=%d name=%s age=%llu idle=%llu flags=%s db=%d sub=%u psub=%u ssub=%u multi=%lld "
        b"qbuf=%zu qbuf-free=0 argv-mem=0 multi-mem=%zu rbs=0 rbp=0 obl=0 oll=%d omem=%zu tot-mem=%zu events=%s cmd=%s "
        b"user=%s redir=%lld resp=%d lib-name=%s lib-ver=%s",
        <unsigned long long> client.id, client.peer, client.local, client.handle.fd, or_empty(client.name),
        <unsigned long long> ((node.now_us - client.created_us) // 1000000),
        <unsigned long long> ((node.now_us - client.used_us) // 1000000), flags, client.database.number,
        client.subscribed_count[CHANNEL], client.subscribed_count[PATTERN], client.subscribed_count[SHARD],
        <long long> client.transaction.count if client.transaction.begun else -1,
        input_length(&client.input), client.transaction.queue.length, <int> (client.output.length != 0), client.output.length,
        sizeof(Client) + input_length(&client.input) + client.transaction.queue.length + client.output.length, events,
        command, word_text(client.user.name), <long long> client.redirect if client.tracking else -1LL, client.resp,
        or_empty(client.library_name),
        or_empty(client.library_version))
    text_room(text, 2)[0] = c'\n'
    text.length += 1


cdef void command_client_info(Call* call) noexcept nogil:
    cdef Text text = Text(data=NULL, length=0, room=0)
    client_describe(call.node, call.client, &text)
    answer_verbatim(call, text.data, text.length)
    text_free(&text)


cdef bint read_id(Call* call, const Slice* argument, long long* number, const char* problem) noexcept nogil:
    if read_number(argument.data, argument.length, number) and number[0] > 0:
        return True
    answer_error(call, problem)
    return False


cdef bint take_type(Call* call, const Slice* argument, int* type) noexcept nogil:
    """A type of client as its class of output, OUTPUT_CLASSES for those that this node has none of."""
    cdef char name[96]
    cdef char text[160]
    type[0] = OUTPUT_CLASSES
    if is_word(argument, b"normal"):
        type[0] = OUTPUT_NORMAL
    elif is_word(argument, b"pubsub"):
        type[0] = OUTPUT_PUBSUB
    elif is_word(argument, b"replica") or is_word(argument, b"slave"):
        type[0] = OUTPUT_REPLICA
    elif not is_word(argument, b"master"):
        copy_text(name, sizeof(name), argument)
        snprintf(text, sizeof(text), b"ERR Unknown client type '%s'", name)
        answer_error(call, text)
        return False
    return True


cdef inline bint has_type(const Client* client, int type) noexcept nogil:
    """type -1: any."""
    if type < 0:
        return True
    if is_replica(client):
        return type == OUTPUT_REPLICA
    return type == (OUTPUT_PUBSUB if client.subscriptions else OUTPUT_NORMAL)


cdef void command_client_list(Call* call) noexcept nogil:
    """CLIENT LIST [TYPE type] [ID id …]."""
    cdef Text text = Text(data=NULL, length=0, room=0)
    cdef Client* client
    cdef long long number
    cdef int type = -1
    cdef int index
    if call.argc == 4 and is_word(&call.argv[2], b"type"):
        if not take_type(call, &call.argv[3], &type):
            return
    elif call.argc > 3 and is_word(&call.argv[2], b"id"):
        for index in range(3, call.argc):
            if not read_id(call, &call.argv[index], &number, b"ERR Invalid client ID"):
                text_free(&text)
                return
            client = client_find(call.node, <uint64_t> number)
            if client != NULL:
                client_describe(call.node, client, &text)
        answer_verbatim(call, text.data, text.length)
        text_free(&text)
        return
    elif call.argc != 2:
        answer_syntax(call)
        return
    # The list has the newest first; people expect the oldest first.
    client = call.node.clients
    while client.next != NULL:
        client = client.next
    while client != NULL:
        if has_type(client, type):
            client_describe(call.node, client, &text)
        client = client.previous
    answer_verbatim(call, text.data, text.length)
    text_free(&text)


cdef bint is_text(const Slice* argument, const char* text) noexcept nogil:
    cdef size_t length = strlen(text)
    cdef size_t index
    if argument.length != length:
        return False
    for index in range(length):
        if argument.data[index] != text[index]:
            return False
    return True


cdef void command_client_kill(Call* call) noexcept nogil:
    """CLIENT KILL addr, or CLIENT KILL <filter> <value> … with ID, ADDR, LADDR, TYPE, USER, SKIPME."""
    cdef const Slice* address = NULL
    cdef const Slice* local = NULL
    cdef long long number = 0
    cdef int type = -1
    cdef bint skip_self = True
    cdef User* user = NULL
    cdef char name[96]
    cdef char text[160]
    cdef Client* client
    cdef Client* following
    cdef long long killed = 0
    cdef int index = 2
    cdef bint old_form = call.argc == 3
    if old_form:
        address = &call.argv[2]
        skip_self = False
        index = 3
    while index < call.argc:
        if index + 1 >= call.argc:
            answer_syntax(call)
            return
        if is_word(&call.argv[index], b"id"):
            if not read_id(call, &call.argv[index + 1], &number, b"ERR client-id should be greater than 0"):
                return
        elif is_word(&call.argv[index], b"addr"):
            address = &call.argv[index + 1]
        elif is_word(&call.argv[index], b"laddr"):
            local = &call.argv[index + 1]
        elif is_word(&call.argv[index], b"type"):
            if not take_type(call, &call.argv[index + 1], &type):
                return
        elif is_word(&call.argv[index], b"user"):
            user = user_find(call.node, &call.argv[index + 1])
            if user == NULL:
                copy_text(name, sizeof(name), &call.argv[index + 1])
                snprintf(text, sizeof(text), b"ERR No such user '%s'", name)
                answer_error(call, text)
                return
        elif is_word(&call.argv[index], b"skipme"):
            if is_word(&call.argv[index + 1], b"yes"):
                skip_self = True
            elif is_word(&call.argv[index + 1], b"no"):
                skip_self = False
            else:
                answer_syntax(call)
                return
        else:
            answer_syntax(call)
            return
        index += 2
    client = call.node.clients
    while client != NULL:
        following = client.next
        if ((address == NULL or is_text(address, client.peer)) and (local == NULL or is_text(local, client.local))
                and (number == 0 or client.id == <uint64_t> number) and has_type(client, type)
                and (user == NULL or client.user == user)
                and not (skip_self and client == call.client)):
            killed += 1
            if client == call.client:
                client.closing = True
            else:
                client_close(call.node, client)
        client = following
    if not old_form:
        answer_number(call, killed)
    elif killed:
        answer_ok(call)
    else:
        answer_error(call, b"ERR No such client")


cdef void switch_flag(Call* call, bint* flag) noexcept nogil:
    if is_word(&call.argv[2], b"on"):
        flag[0] = True
    elif is_word(&call.argv[2], b"off"):
        flag[0] = False
    else:
        answer_syntax(call)
        return
    answer_ok(call)


cdef void command_client_no_evict(Call* call) noexcept nogil:
    """Accepted for guests that ask for it; the node never evicts clients."""
    switch_flag(call, &call.client.no_evict)


cdef void command_client_no_touch(Call* call) noexcept nogil:
    switch_flag(call, &call.client.no_touch)

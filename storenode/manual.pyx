# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Manual: read from the rows of commands.pyx and what facts.pyx says of them. See manual.pxd."""

from libc.stdio cimport snprintf
from libc.string cimport memchr, strlen

from proxy.wire.glob cimport glob_match
from storenode.answer cimport (
    answer_array, answer_bulk, answer_error, answer_map, answer_nil, answer_number, answer_raw, answer_set,
    answer_syntax, answer_text, answer_verbatim,
)
from storenode.arguments cimport copy_text, is_word
from storenode.catalog cimport (
    CATEGORIES, KeyWalk, category_find, category_name, has_keys, keys_begin, keys_next,
)
from storenode.names cimport command_find, command_find_under
from storenode.session cimport STORE_VERSION
from storenode.text cimport Text, text_add, text_free
from storenode.types cimport CONTAINER, Call, Node, Row, Slice

cdef const char* SQUARE = (
    b"      _________\n"
    b"     /        /|\n"
    b"    /________/ |     a key in, a value out,\n"
    b"    |        | |     and nothing in between\n"
    b"    |  : :   | /\n"
    b"    |________|/\n\n")


cdef void answer_simple(Call* call, const char* text, size_t length) noexcept nogil:
    answer_raw(call, b"+", 1)
    answer_raw(call, text, length)
    answer_raw(call, b"\r\n", 2)


cdef void answer_flags(Call* call, const Row* row) noexcept nogil:
    """The words of the fact's flags, a simple string each."""
    cdef const char* at
    cdef const char* start
    cdef long long count
    if row.fact == NULL:
        answer_set(call, 0)
        return
    at = row.fact.flags
    start = at
    count = at[0] != 0
    while at[0]:
        count += at[0] == c' '
        at += 1
    answer_set(call, count)
    at = start
    while count:
        while at[0] and at[0] != c' ':
            at += 1
        answer_simple(call, start, at - start)
        at += 1
        start = at
        count -= 1


cdef void answer_categories(Call* call, const Row* row) noexcept nogil:
    cdef char text[32]
    cdef long long count = 0
    cdef int index
    for index in range(CATEGORIES):
        count += row.categories >> index & 1
    answer_set(call, count)
    for index in range(CATEGORIES):
        if row.categories >> index & 1:
            answer_simple(call, text, snprintf(text, sizeof(text), b"@%s", category_name(index)))


cdef const Row* next_under(const Node* node, const Row* container, const Row* row) noexcept nogil:
    """The subcommand behind `row`, of those that clients may call; NULL: there is none."""
    row += 1
    while row < &node.rows[node.row_count] and row.parent >= 0:
        if row.called_length:
            return row
        row += 1
    return NULL


cdef long long subcommands_of(const Node* node, const Row* row) noexcept nogil:
    """How many subcommands of a container clients may call."""
    cdef const Row* under = next_under(node, row, row) if row.parent < 0 else NULL
    cdef long long count = 0
    while under != NULL:
        count += 1
        under = next_under(node, row, under)
    return count


cdef void answer_row(Call* call, const Row* row) noexcept nogil:
    """COMMAND's ten fields. Tips and key specifications are left empty: no client that is known to us reads them."""
    cdef long long count = subcommands_of(call.node, row)
    cdef const Row* under = row
    answer_array(call, 10)
    answer_text(call, row.name)
    answer_number(call, row.arity)
    answer_flags(call, row)
    answer_number(call, row.first)
    answer_number(call, row.last)
    answer_number(call, row.step)
    answer_categories(call, row)
    answer_array(call, 0)
    answer_array(call, 0)
    answer_array(call, count)
    while count:
        under = next_under(call.node, row, under)
        answer_row(call, under)
        count -= 1


cdef long long count_commands(const Node* node) noexcept nogil:
    cdef long long count = 0
    cdef int index
    for index in range(node.row_count):
        count += node.rows[index].parent < 0 and node.rows[index].called_length > 0
    return count


cdef Row* find(Node* node, const Slice* name) noexcept nogil:
    """A row by its full name, `config|get`; NULL: none."""
    cdef const char* bar = <const char*> memchr(name.data, c'|', name.length)
    cdef Slice part
    cdef Row* row
    if bar == NULL:
        return command_find(node, name)
    part.data = name.data
    part.length = bar - name.data
    row = command_find(node, &part)
    if row == NULL or not row.flags & CONTAINER:
        return NULL
    part.data = bar + 1
    part.length = name.data + name.length - bar - 1
    return command_find_under(node, row, &part)


cdef void command_command(Call* call) noexcept nogil:
    cdef int index
    answer_array(call, count_commands(call.node))
    for index in range(call.node.row_count):
        if call.node.rows[index].parent < 0 and call.node.rows[index].called_length:
            answer_row(call, &call.node.rows[index])


cdef void command_command_count(Call* call) noexcept nogil:
    answer_number(call, count_commands(call.node))


cdef void command_command_info(Call* call) noexcept nogil:
    cdef Row* row
    cdef int index
    if call.argc == 2:
        command_command(call)
        return
    answer_array(call, call.argc - 2)
    for index in range(2, call.argc):
        row = find(call.node, &call.argv[index])
        if row == NULL:
            answer_nil(call)
        else:
            answer_row(call, row)


cdef void answer_docs(Call* call, const Row* row) noexcept nogil:
    """A name and what is said of it: summary, since, group, and the subcommands of a container."""
    cdef long long count = subcommands_of(call.node, row)
    cdef const Row* under = row
    answer_text(call, row.name)
    answer_map(call, (3 if row.fact != NULL else 0) + (count != 0))
    if row.fact != NULL:
        answer_text(call, b"summary")
        answer_text(call, row.fact.summary)
        answer_text(call, b"since")
        answer_text(call, row.fact.since)
        answer_text(call, b"group")
        answer_text(call, row.fact.group)
    if count:
        answer_text(call, b"subcommands")
        answer_map(call, count)
        while count:
            under = next_under(call.node, row, under)
            answer_docs(call, under)
            count -= 1


cdef void command_command_docs(Call* call) noexcept nogil:
    cdef Row* row
    cdef long long count = 0
    cdef int index
    if call.argc == 2:
        answer_map(call, count_commands(call.node))
        for index in range(call.node.row_count):
            if call.node.rows[index].parent < 0 and call.node.rows[index].called_length:
                answer_docs(call, &call.node.rows[index])
        return
    for index in range(2, call.argc):
        count += find(call.node, &call.argv[index]) != NULL
    answer_map(call, count)
    for index in range(2, call.argc):
        row = find(call.node, &call.argv[index])
        if row != NULL:
            answer_docs(call, row)


cdef bint is_listed(Call* call, const Row* row, int category) noexcept nogil:
    """Does a row pass the filter of COMMAND LIST?"""
    if not row.called_length:
        return False
    if call.argc == 2:
        return True
    if is_word(&call.argv[3], b"aclcat"):
        return category >= 0 and row.categories >> category & 1
    if is_word(&call.argv[3], b"pattern"):
        return glob_match(call.argv[4].data, call.argv[4].length, row.name, strlen(row.name), True)
    return False  # of a module there is none


cdef void command_command_list(Call* call) noexcept nogil:
    """COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]."""
    cdef int category = -1
    cdef long long count = 0
    cdef int index
    if call.argc != 2:
        if (call.argc != 5 or not is_word(&call.argv[2], b"filterby")
                or not (is_word(&call.argv[3], b"module") or is_word(&call.argv[3], b"aclcat")
                        or is_word(&call.argv[3], b"pattern"))):
            answer_syntax(call)
            return
        category = category_find(call.argv[4].data, call.argv[4].length)
    for index in range(call.node.row_count):
        count += is_listed(call, &call.node.rows[index], category)
    answer_array(call, count)
    for index in range(call.node.row_count):
        if is_listed(call, &call.node.rows[index], category):
            answer_text(call, call.node.rows[index].name)


cdef void command_command_getkeys(Call* call) noexcept nogil:
    """COMMAND GETKEYS command argument …: the keys among the arguments."""
    cdef Row* row = command_find(call.node, &call.argv[2])
    cdef const Slice* argv = call.argv + 2
    cdef int argc = call.argc - 2
    cdef KeyWalk walk
    cdef long long count = 0
    cdef int index, access
    if row != NULL and row.flags & CONTAINER and argc > 1:
        row = command_find_under(call.node, row, &argv[1])
    if row == NULL:
        answer_error(call, b"ERR Invalid command specified")
        return
    if not has_keys(row):
        answer_error(call, b"ERR The command has no key arguments")
        return
    if (row.arity > 0 and argc != row.arity) or argc < -row.arity:
        answer_error(call, b"ERR Invalid number of arguments specified for command")
        return
    keys_begin(&walk, row, argv, argc)
    while keys_next(&walk, &index, &access):
        count += 1
    if count == 0 or walk.wrong:
        answer_error(call, b"ERR Invalid arguments specified for command")
        return
    answer_array(call, count)
    keys_begin(&walk, row, argv, argc)
    while keys_next(&walk, &index, &access):
        answer_bulk(call, argv[index].data, argv[index].length)


cdef void upper(char* text) noexcept nogil:
    while text[0]:
        if c'a' <= text[0] <= c'z':
            text[0] -= 32
        text += 1


cdef void answer_try_help(Call* call) noexcept nogil:
    """A subcommand got arguments that it does not take."""
    cdef char shown[129]
    cdef char name[64]
    cdef char text[320]
    copy_text(shown, sizeof(shown), &call.argv[1])
    snprintf(name, sizeof(name), b"%s", call.node.rows[call.row.parent].name)
    upper(name)
    snprintf(text, sizeof(text), b"ERR unknown subcommand or wrong number of arguments for '%s'. Try %s HELP.", shown,
             name)
    answer_error(call, text)


cdef void command_help(Call* call) noexcept nogil:
    """HELP of whatever container it was asked of: its subcommands, two lines each."""
    cdef const Row* container = &call.node.rows[call.row.parent]
    cdef const Row* row = container
    cdef long long count = subcommands_of(call.node, container)
    cdef char text[160]
    cdef char name[64]
    answer_array(call, 1 + 2 * count)
    snprintf(name, sizeof(name), b"%s", container.name)
    upper(name)
    answer_simple(call, text, snprintf(text, sizeof(text),
                                       b"%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", name))
    while count:
        row = next_under(call.node, container, row)
        count -= 1
        snprintf(name, sizeof(name), b"%s", row.name + container.name_length + 1)
        upper(name)
        answer_simple(call, name, strlen(name))
        if row.fact != NULL:
            answer_simple(call, text, snprintf(text, sizeof(text), b"    %s.", row.fact.summary))
        else:
            answer_simple(call, b"    See the README.", 19)


cdef void command_lolwut(Call* call) noexcept nogil:
    cdef Text text = Text(data=NULL, length=0, room=0)
    text_add(&text, SQUARE)
    text_add(&text, b"Redis ver. ")
    text_add(&text, STORE_VERSION)
    text_add(&text, b", as Quench speaks it\n")
    answer_verbatim(call, text.data, text.length)
    text_free(&text)

"""What the engine answers by itself, against redis-server 7.0.15 where both know the command."""

import re
import socket
import time

import pytest

from tests.engine.harness import build, conn, settle
from tests.helpers import bulk, request
from tests.redis_server import needs_redis_server, redis_server

# Conversations: the same requests to both, replies compared after the fields that have to differ were blotted out.
TALKS = {
    "ping": [[b"PING"], [b"PING", b"hello"], [b"PING", b""], [b"ping", b"a\r\nb"], [b"PING", b"a", b"b"]],
    "echo": [[b"ECHO", b"x"], [b"ECHO"], [b"ECHO", b"a", b"b"], [b"ECHO", b"x" * 100_000], [b"ECHO", b""]],
    "select": [[b"SELECT", b"0"], [b"SELECT", b"15"], [b"SELECT", b"16"], [b"SELECT", b"-1"], [b"SELECT"],
               [b"SELECT", b"0", b"1"]],
    "hello": [[b"HELLO"], [b"HELLO", b"2"], [b"HELLO", b"3"], [b"HELLO"], [b"HELLO", b"2"], [b"HELLO", b"4"],
              [b"HELLO", b"x"], [b"HELLO", b"1"], [b"HELLO", b"3", b"SETNAME", b"me"], [b"CLIENT", b"GETNAME"],
              [b"HELLO", b"3", b"SETNAME", b"a b"], [b"HELLO", b"2", b"NONSENSE"], [b"HELLO", b"2", b"SETNAME"],
              [b"HELLO", b"3", b"AUTH", b"default"], [b"HELLO", b"2", b"setname", b"you"], [b"CLIENT", b"GETNAME"]],
    "names": [[b"CLIENT", b"GETNAME"], [b"CLIENT", b"SETNAME", b"a"], [b"CLIENT", b"GETNAME"],
              [b"CLIENT", b"SETNAME", b"a b"], [b"CLIENT", b"SETNAME", b"a\nb"], [b"CLIENT", b"GETNAME"],
              [b"CLIENT", b"SETNAME", b""], [b"CLIENT", b"GETNAME"], [b"CLIENT", b"SETNAME"],
              [b"HELLO", b"3"], [b"CLIENT", b"GETNAME"]],
    "reset": [[b"HELLO", b"3"], [b"CLIENT", b"SETNAME", b"a"], [b"SELECT", b"3"], [b"RESET"],
              [b"CLIENT", b"GETNAME"]],
    "no-evict": [[b"CLIENT", b"NO-EVICT", b"ON"], [b"CLIENT", b"NO-EVICT", b"off"], [b"CLIENT", b"NO-EVICT", b"x"]],
    "auth without a password": [[b"AUTH", b"x"], [b"AUTH", b"default", b"x"], [b"AUTH", b"nobody", b"x"], [b"AUTH"],
                                [b"AUTH", b"a", b"b", b"c"]],
    "cluster": [[b"READONLY"], [b"READWRITE"], [b"ASKING"], *(
        [b"CLUSTER", *words.split()] for words in (
            b"INFO", b"NODES", b"SLOTS", b"SHARDS", b"MYID", b"HELP", b"KEYSLOT a", b"KEYSLOT", b"COUNTKEYSINSLOT 1",
            b"RESET", b"MEET a 1", b"FAILOVER", b"NOPE", b"",
        )
    )],
    "reply off and on": [
        [b"CLIENT", b"REPLY", word] if word in (b"ON", b"off", b"Skip", b"x") else word.split()
        for word in (
            b"ON", b"x", b"off", b"PING", b"NOPE", b"ECHO", b"x", b"Skip", b"PING", b"ON", b"PING", b"off", b"HELLO 3",
            b"SELECT 99", b"ON", b"HELLO 2", b"off", b"RESET", b"PING",
        )
    ],
    "reply skip": [
        [b"CLIENT", b"REPLY", word] if word in (b"ON", b"off", b"Skip", b"x") else word.split()
        for word in (
            b"Skip", b"PING 1", b"PING 2", b"Skip", b"NOPE", b"PING 3", b"Skip", b"ECHO", b"PING 4", b"Skip", b"Skip",
            b"PING 5", b"PING 6", b"Skip", b"ON", b"PING 7", b"Skip", b"off", b"PING 8", b"ON", b"Skip", b"RESET",
            b"PING 9", b"Skip", b"x", b"PING 10",
        )
    ] + [b"PING 11\r\n", [b"CLIENT", b"REPLY", b"SKIP"], b"*0\r\n", [b"PING"], [b"CLIENT", b"REPLY"]],
    "unknown": [[b"NOPE"], [b"NOPE", b"a", b"b"], [b"NOPE", b"x" * 200, b"y"], [b"NOPE", *[b"abc"] * 50],
                [b"x" * 200], [b"CLIENT", b"NOPE"], [b"GET"], [b"GET", b"a", b"b"]],
    "broken": [[b"GET", b"a", b"b"], b"*1\r\n+GET\r\n"],
    "broken count": [b"*-x\r\n"],
}
SECRET_TALK = [
    [b"GET", b"a"], [b"PING"], [b"SELECT", b"1"], [b"HELLO"], [b"HELLO", b"3"], [b"AUTH", b"wrong"],
    [b"AUTH", b"secret1"], [b"AUTH", b"secre"], [b"AUTH", b""], [b"AUTH", b"nobody", b"secret"],
    [b"HELLO", b"3", b"AUTH", b"default", b"wrong"], [b"ECHO", b"x"], [b"NOPE"], [b"CLIENT", b"ID"],
    [b"HELLO", b"3", b"AUTH", b"default", b"secret"], [b"PING"], [b"RESET"], [b"PING"],
    [b"AUTH", b"default", b"secret"],
    [b"PING"], [b"RESET"], [b"AUTH", b"secret"],
    [b"ECHO", b"x"],
]
END = b"the end of it"
VARIABLE = [
    (re.compile(rb"(\$2\r\nid\r\n):\d+"), rb"\1:0"), (re.compile(rb"(\$7\r\nversion\r\n)\$\d\r\n[0-9.]+"), rb"\1*"),
    (re.compile(rb"HELLO <proto> AUTH"), rb"HELLO AUTH"),    # the words of 7.2
    # Redis 7.0 knows more subcommands and hints at fewer; both say what is unknown.
    (re.compile(rb"(-ERR unknown subcommand '[^']*').*"), rb"\1"),
]


def wire(talk):
    return b"".join(part if isinstance(part, bytes) else request(*part) for part in talk)


def blotted(data):
    for pattern, by in VARIABLE:
        data = pattern.sub(by, data)
    return data


def ours(talk, **options):
    engine = build(1, **options)
    client = engine.open()
    for part in talk:
        engine.feed(client, wire([part]))
        for _ in range(3):
            engine.turn()
    settle(engine)
    return engine.take(client)


def theirs(address, talk):
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(10)
        peer.connect(address)
        # Redis drops what it has not sent when a client shuts its side, so the end is marked by an answer.
        peer.sendall(wire([*talk, [b"ECHO", END]]))
        found = b""
        while not found.endswith(bulk(END)) and (data := peer.recv(1 << 16)):
            found += data
        return found.removesuffix(bulk(END))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("answers")) as address:
        yield address


@needs_redis_server
@pytest.mark.parametrize("name", TALKS)
def test_as_redis_answers(server, name):
    assert blotted(ours(TALKS[name])) == blotted(theirs(server, TALKS[name]))


@needs_redis_server
def test_as_redis_with_a_password(server):
    theirs(server, [[b"CONFIG", b"SET", b"requirepass", b"secret"]])
    try:
        assert blotted(ours(SECRET_TALK, password=b"secret")) == blotted(theirs(server, SECRET_TALK))
    finally:
        theirs(server, [[b"AUTH", b"secret"], [b"CONFIG", b"SET", b"requirepass", b""]])


@needs_redis_server
@pytest.mark.parametrize("head", [b"*11\r\n", b"*1\r\n$16385\r\n"])
def test_before_auth_requests_are_small(server, head):
    theirs(server, [[b"CONFIG", b"SET", b"requirepass", b"secret"]])
    try:
        assert ours([head], password=b"secret") == theirs(server, [head])
    finally:
        theirs(server, [[b"AUTH", b"secret"], [b"CONFIG", b"SET", b"requirepass", b""]])


def test_select_and_hello_choose_the_node_connection():
    engine = build(1)
    for protocol in (2, 3):
        for database in (0, 15):
            engine.connect(0, protocol, database)
            client = engine.open()
            engine.feed(client, request(b"HELLO", b"%d" % protocol) + request(b"SELECT", b"%d" % database)
                        + request(b"GET", b"a"))
            assert engine.sent(conn(0, protocol, database)) == request(b"GET", b"a")
            engine.answer(conn(0, protocol, database), b"+a\r\n")
            assert engine.take(client).endswith(b"+OK\r\n+a\r\n")
    settle(engine)


def test_ids_are_counted_and_time_is_now():
    engine = build(1)
    first, second = engine.open(), engine.open()
    assert second == first + 1
    engine.feed(second, request(b"CLIENT", b"ID") + request(b"TIME"))
    found = engine.take(second).split(b"\r\n")
    assert found[0] == b":%d" % second
    assert abs(int(found[3]) + int(found[5]) / 1e6 - time.time()) < 5


@pytest.mark.parametrize("words, reply", [
    ([b"CLIENT", b"SETINFO", b"LIB-NAME", b"redis-py"], b"+OK\r\n"),
    ([b"CLIENT", b"SETINFO", b"lib-ver", b"5.0"], b"+OK\r\n"),
    ([b"CLIENT", b"SETINFO", b"LIB-NAME", b"a b"],
     b"-ERR lib-name cannot contain spaces, newlines or special characters.\r\n"),
    ([b"CLIENT", b"SETINFO", b"OTHER", b"x"], b"-ERR Unrecognized option 'OTHER'\r\n"),
    ([b"CLIENT", b"SETINFO", b"a\r\nb", b"x"], b"-ERR Unrecognized option 'a  b'\r\n"),
    ([b"CLIENT", b"NO-TOUCH", b"on"], b"+OK\r\n"),
])
def test_what_redis_7_0_does_not_know(words, reply):
    assert ours([words]) == reply


@pytest.mark.parametrize("line, reply", [
    (b"PING\r\n", b"+PONG\r\n"), (b"  ping  \"a b\" \n", bulk(b"a b")), (b"\r\n\r\nPING\r\n", b"+PONG\r\n"),
    (b"ECHO 'x\r\n", b"-ERR Protocol error: unbalanced quotes in request\r\n")])
def test_inline_commands(line, reply):
    assert ours([line]) == reply


def test_requests_of_the_control_lane_are_answered_in_their_place():
    engine = build(1)
    client = engine.open()
    engine.feed(client, request(b"GET", b"a") + request(b"INFO") + request(b"PING"))
    engine.sent(conn(0))
    assert engine.events() == []
    engine.answer(conn(0), b"+a\r\n")
    engine.turn()
    [(kind, _, _, _, pointer, slot, tag, data)] = engine.events()
    assert (kind, tag, data) == (1, client, request(b"INFO"))
    engine.turn()
    assert engine.take(client) == b"+a\r\n"
    engine.reply(pointer, slot, b"+info\r\n")
    engine.turn()
    engine.turn()
    assert engine.take(client) == b"+info\r\n+PONG\r\n"
    settle(engine)


def test_a_client_that_leaves_before_the_control_plane_answers():
    engine = build(1)
    client = engine.open()
    engine.feed(client, request(b"INFO"))
    [event] = engine.events()
    engine.close(client)
    engine.turn()
    engine.reply(event[4], event[5], b"+info\r\n")
    engine.turn()
    settle(engine)


def test_requests_that_do_not_fit_the_mailbox_are_refused():
    engine = build(1)
    clients = [engine.open() for _ in range(16_500)]
    for client in clients:
        engine.feed(client, request(b"INFO"))
    refused = [client for client in clients[-200:] if b"-ERR the proxy has too many requests" in engine.take(client)]
    assert refused
    pending = engine.events()
    assert len(pending) + sum(engine.state(client)["owed"] == 0 for client in clients) == len(clients)
    for event in pending:
        engine.reply(event[4], event[5], b"+x\r\n")
        if event is pending[8000]:
            engine.turn()
    settle(engine)
    assert sum(engine.take(client) == b"+x\r\n" for client in clients) == len(pending)

"""Users through a running proxy, beside one redis-server with the same users: the same words, byte by byte."""

from __future__ import annotations

import random

import hiredis
import pytest
import redis

from tests.redis_server import needs_redis_server
from tests.rules import random_rules
from tests.system.tier import running_nodes, running_proxy

pytestmark = needs_redis_server

DICE = random.Random(5)
USERS = {
    "u": ["on", ">p", "~a:*", "%R~r:*", "&c:*", "+@all", "-get", "-acl", "+acl|whoami", "(+get ~s:*)"],
    "reader": ["on", ">one", ">two", "~*", "+@read", "+client|getname"],
    "disabled": [">p", "~*", "+@all"],
    **{f"random{number}": random_rules(DICE) for number in range(12)},
}
TALK = """
AUTH u wrong | AUTH disabled p | AUTH nobody p | AUTH p | AUTH a b c | HELLO 2 AUTH u wrong | AUTH u p
ACL WHOAMI | GET a:1 | GET s:1 | GET x | SET s:1 1 | SET a:1 1 | SET r:1 1 | SET r:1 1 GET | STRLEN r:1
GETDEL r:1 | MGET a:1 r:1 z | MSET a:1 1 z 2 | DEL a:1 z | EXISTS a:1 r:1 | SORT a:l BY x:* GET #
SORT a:l GET # | SORT a:l GET x:* | SORT a:l BY nosort | SORT a:l STORE r:x | SORT a:l STORE a:x
SORT_RO a:l BY * | EVAL return(1) 1 z | XREAD STREAMS a:1 z 0 0 | BITFIELD r:1 GET u8 0
BITFIELD r:1 SET u8 0 1 | CONFIG FOO x | NOSUCH | GET | ACL LIST | COPY a:1 r:1 | GETEX r:1 | PFCOUNT r:1
OBJECT ENCODING r:1 | OBJECT FREQ z | LMPOP 2 r:1 r:2 LEFT | ZUNIONSTORE a:1 2 r:1 z | PUBLISH z 1
CONFIG GET databases | PING | ECHO x | SELECT 1 | RENAME a:1 a:2 | PSUBSCRIBE c:*x | SUBSCRIBE d | SPUBLISH x y
RESET | ACL WHOAMI | AUTH reader one | GET x | SET x 1 | AUTH reader two | CLIENT GETNAME | CLIENT SETNAME x
CLIENT NOSUCH | AUTH reader three | GET x | SCRIPT EXISTS x | RESET
"""


#: What ACL LOG is to tell, among what it is not to.
REFUSED = """
AUTH u wrong | auth disabled p | AUTH u p | CLIENT SETNAME it | GET a:1 | GET x | GET x | PUBLISH x y | ACL LIST
SET z 1 | MULTI | SET z 2 | EXEC | GET x
"""

#: Questions whose answers are the same.
SHAPES = """
ACL CAT nosuch | ACL CAT a b | ACL GENPASS 0 | ACL GENPASS 4097 | ACL GENPASS x | ACL GENPASS 1 2
ACL GENPASS 1x | ACL LOG x | ACL LOG RESET x | ACL LOG RESET | ACL LOG -1 | ACL LOG | ACL GETUSER nobody
ACL DRYRUN nobody get | ACL DRYRUN u nosuch | ACL DRYRUN u config nosuch | ACL DRYRUN u get | ACL DRYRUN u get x
ACL DRYRUN u acl list | ACL DRYRUN u publish x y | ACL DRYRUN u set a:1 x | ACL DRYRUN u get s:1 | ACL WHOAMI
ACL WHOAMI x | ACL NOSUCH
"""


def lines_of(text):
    return [line.strip() for line in text.replace("\n", "|").split("|") if line.strip()]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    with running_nodes(tmp_path_factory.mktemp("nodes"), 2) as nodes:
        for name, rules in USERS.items():
            assert nodes[1]("ACL", "SETUSER", name, "reset", *rules) == b"OK"
        yield nodes


@pytest.fixture(scope="module")
def proxy(reference, tmp_path_factory):
    directory = tmp_path_factory.mktemp("proxy")
    (directory / "users.acl").write_text("".join(f"user {name} {' '.join(rules)}\n" for name, rules in USERS.items()))
    with running_proxy(directory, reference[:1], f"acl_file: {directory}/users.acl", engines=2) as proxy:
        yield proxy


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_same_words_as_redis(proxy, reference, protocol):
    with proxy.link(protocol) as ours, reference[1].link(protocol) as theirs:
        for line in lines_of(TALK):
            assert str(ours(*line.split())) == str(theirs(*line.split())), line


def test_acl_list_is_an_acl_file_that_redis_reads(proxy, reference):
    told = {line.split()[1]: line.split(b" ", 2)[2] for line in proxy("ACL", "LIST")}
    assert {name.decode() for name in told} == {*USERS, "default"} == {name.decode() for name in proxy("ACL", "USERS")}
    requests = lines_of("GET 1|CONFIG GET x|SUBSCRIBE c|ACL LIST|HSET a b c|XREAD STREAMS a 0|SELECT 0|KEYS *|EVAL x 0")
    for name, rules in USERS.items():
        before = reference[1]("ACL", "GETUSER", name)
        before[1] = [flag for flag in before[1] if flag != b"sanitize-payload"]
        ours = proxy("ACL", "GETUSER", name)
        assert [*ours[0::2]] == [*before[0::2]]
        for place in (1, 3, 7, 9):  # flags, passwords, keys, channels
            assert sorted(ours[place]) == sorted(before[place]), name
        assert [selector[2:] for selector in ours[11]] == [selector[2:] for selector in before[11]]
        assert reference[1]("ACL", "SETUSER", "again", "reset", *_joined(told[name.encode()])) == b"OK"
        for command in requests:
            again, first = (reference[1]("ACL", "DRYRUN", user, *command.split()) for user in ("again", name))
            assert again == first and not isinstance(first, hiredis.ReplyError), (rules, command)


def _joined(line):
    """The words of a line, a selector being one."""
    words, depth = [], False
    for word in line.split(b" "):
        words[-1:] = [words[-1] + b" " + word] if depth else [*words[-1:], word]
        depth = (depth or word.startswith(b"(")) and not word.endswith(b")")
    return words


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_shapes_of_acl(proxy, reference, protocol):
    """Requests whose replies are the same, or the same but for what has to differ."""
    with proxy.link(protocol) as ours, reference[1].link(protocol) as theirs:
        for line in lines_of(SHAPES):
            words = line.split()
            ours.send(words)
            theirs.send(words)
            assert ours.raw(1) == theirs.raw(1), line
    with proxy.link(protocol) as ours, reference[1].link(protocol) as theirs:
        for category in ("string", "scripting", "stream"):
            assert set(theirs("ACL", "CAT", category)) <= set(ours("ACL", "CAT", category.upper()))
        assert sorted(ours("ACL", "CAT")) == sorted(theirs("ACL", "CAT"))
        for bits, digits in ((1, 1), (5, 2), (8, 2), (256, 64), (4096, 1024)):
            made = ours("ACL", "GENPASS", bits)
            assert len(made) == digits and set(made) <= set(b"0123456789abcdef")
        assert len(ours("ACL", "GENPASS")) == 64
        refused = [ours("ACL", *words.split()) for words in ("SETUSER u on", "DELUSER u", "LOAD", "SAVE")]
        assert all("users come from the configuration" in str(error) for error in refused)


@pytest.mark.parametrize("protocol", [2, 3])
def test_acl_log(proxy, reference, protocol):
    told = []
    for server in (proxy, reference[1]):
        server("ACL", "LOG", "RESET")
        with server.link(protocol) as link:
            for line in lines_of(REFUSED):
                link(*line.split())
            link("RESET")
            log = link("ACL", "LOG", "20")
            told.append([entry if isinstance(entry, dict) else dict(zip(entry[::2], entry[1::2], strict=True))
                         for entry in log])  # fmt: skip
    compared = [b"count", b"reason", b"context", b"object", b"username"]
    ours, theirs = ([[entry[field] for field in compared] for entry in log] for log in told)
    assert ours == theirs and len(ours) == 8
    assert list(told[0][0])[: len(told[1][0])] == list(told[1][0])
    info = dict(word.split(b"=", 1) for word in told[0][0][b"client-info"].split())
    assert (info[b"user"], info[b"name"], info[b"cmd"]) == (b"u", b"it", b"get")
    assert told[0][0][b"age-seconds"].__class__ is told[1][0][b"age-seconds"].__class__


def test_client_list_names_the_user(proxy):
    with proxy.link() as link, proxy.link() as other:
        assert other("AUTH", "u", "p") == b"OK"
        lines = [dict(word.split(b"=", 1) for word in line.split()) for line in link("CLIENT", "LIST").splitlines()]
        assert sorted(line[b"user"] for line in lines) == [b"default", b"u"]
        assert b" user=u " in other("CLIENT", "INFO")


def test_redis_py(proxy):
    with redis.Redis(port=proxy.address, username="u", password="p") as client:
        assert client.set("a:redis-py", 1) and client.acl_whoami() == "u"
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.get("x")
    wrong = pytest.raises(redis.exceptions.AuthenticationError)
    with redis.Redis(port=proxy.address, username="u", password="x") as client, wrong:
        client.ping()
    with redis.Redis(port=proxy.address) as client:
        assert client.acl_getuser("u")["enabled"] and client.acl_users() and client.acl_list()
        assert client.acl_dryrun("u", "get", "x") == b"This user has no permissions to access the 'x' key"
        assert {"reason", "username"} <= set(client.acl_log(1)[0])


def test_a_script_is_for_those_who_may_do_everything(proxy, reference, tmp_path):
    reply = proxy("EVAL", "return redis.call('set', KEYS[1], 'x')", "1", "a:s")
    assert reply == b"OK"
    with proxy.link() as link:
        link("AUTH", "u", "p")
        error = link("EVAL", "return redis.call('get', 'other')", "1", "a:s")
        assert isinstance(error, hiredis.ReplyError) and str(error).startswith("NOPERM 'eval' runs code at the node")
    options = "users: {default: {nopass: yes, rules: '~a:* +eval', scripts: yes}}"
    with running_proxy(tmp_path, reference[:1], options) as trusting:
        assert trusting("EVAL", "return redis.call('get', KEYS[1])", "1", "a:s") == b"x"
        assert str(trusting("EVAL", "return 1", "1", "b")).startswith("NOPERM this user has no permissions to access")

"""Every command there is: served and compared, served and tested elsewhere, or left out on purpose. No fourth kind.

Requests are made from what redis-server says of its own commands' arguments, so that no option is forgotten.
"""

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.store.conftest import Server
from tests.store.grammar import FILL, Docs, documentation, request
from tests.store.raw import Connection, Parsed, parse, pipeline, words
from tests.store.test_types import Command, normal

LEFT_OUT = {
    "streams": "xack xadd xautoclaim xclaim xdel xgroup xinfo xlen xpending xrange xread xreadgroup xrevrange xsetid "
    "xtrim",
    "scripts": "eval eval_ro evalsha evalsha_ro fcall fcall_ro function script",
    "modules": "module",
    "a node knows nothing of clusters": "asking cluster readonly readwrite migrate restore-asking failover",
    "about Redis's own code": "pfdebug pfselftest",
    "keys are told without what is done to them": "command|getkeysandflags",
}  # fmt: skip

ELSEWHERE = {
    "test_acl": "acl|log acl|cat command command|count command|docs command|info command|list",
    "test_observe": "info latency slowlog|get slowlog|len memory|doctor memory|malloc-stats memory|stats lolwut",
    "test_server": "client|id client|info client|list client|kill config|get hello quit reset time debug",
    "test_blocking": "client|unblock",
    "test_clients": "client|pause client|reply",
    "test_several_clients": "multi exec discard monitor",
    "test_tracking": "client|tracking",
    "test_pubsub": "subscribe psubscribe ssubscribe unsubscribe punsubscribe sunsubscribe",
    "test_replication": "psync sync replicaof slaveof replconf role wait",
    "test_snapshot": "save bgsave lastsave shutdown",
    "test_log": "bgrewriteaof",
}

#: What they answer differs from node to node: only what kind of reply it is is compared.
ANY = {
    "spop", "srandmember", "hrandfield", "zrandmember", "randomkey", "scan", "dump", "acl|genpass", "memory|usage",
    "object|idletime", "object|encoding", "ttl", "pttl", "expiretime", "pexpiretime",
}  # fmt: skip
NEWER = {"zrank", "zrevrank"}  # redis-server 7.0 has no third argument

LENGTH = 40  # requests of a sequence


def among(name: str, table: dict[str, str]) -> bool:
    listed = " ".join(table.values()).split()
    return name in listed or name.split("|")[0] in listed


@pytest.fixture(scope="module")
def theirs(reference: Server) -> Iterator[dict[str, Docs]]:
    with reference.connect() as connection:
        yield documentation(connection)


def names_of(server: Server) -> set[str]:
    with server.connect() as connection:
        return {name.decode() for name in words(connection("command", "list"))}


def test_whatever_redis_has_is_there_or_left_out(node: Server, theirs: dict[str, Docs]) -> None:
    missing = {name for name in set(theirs) - names_of(node) if not among(name, LEFT_OUT)}
    assert not missing
    assert not {name for name in names_of(node) if name != "command" and among(name, LEFT_OUT)}


def test_what_is_newer_than_the_reference(node: Server, theirs: dict[str, Docs]) -> None:
    """Redis 7.2 added three to what is served here, and Redis 8.4 two (CLUSTER MYSHARDID is left out)."""
    newer = {name for name in names_of(node) - set(theirs) if not name.startswith("debug|")}
    assert newer == {"client|no-touch", "client|setinfo", "delex", "digest", "waitaof"}


def waits(sent: Command, said: Docs) -> bool:
    """Might it wait for longer than the test wants to?"""
    if not any(flat[1] == "timeout" for flat in said.get("arguments", [])):
        return False
    for timeout in (sent[1:2] + sent[-1:]) if len(sent) > 1 else ():
        try:
            seconds = float(timeout)
        except ValueError:
            continue
        if seconds == 0 or 0.01 < seconds < 1e16:
            return True
    return False


def kind(sent: Command, name: str, reply: bytes) -> Parsed:
    """What is compared of a reply."""
    lower = [str(word).lower() for word in sent]
    if reply.startswith(b"-"):
        return reply
    if name in ANY or (name.startswith("sort") and "by" in lower):
        return reply[:1]
    if name.startswith("geo") and reply[:1] == b"*":  # ties come in any order
        parsed = parse(reply)
        return [b"%d" % len(parsed)] if "count" in lower or "any" in lower else sorted(parsed, key=repr)
    return normal((lower[0], *sent[1:]), reply)


@pytest.mark.parametrize("version", [2, 3])
def test_every_command_answers_as_redis_does(
    node: Server, reference: Server, theirs: dict[str, Docs], version: int
) -> None:
    names = sorted(
        name
        for name in names_of(node) & set(theirs)
        if not among(name, ELSEWHERE) and "subcommands" not in theirs[name] and not name.endswith("|help")
    )
    assert len(names) > 200
    answered: set[str] = set()

    def begin(connection: Connection) -> Connection:
        if version == 3:
            connection("hello", 3)
        users = words(connection("acl", "users"))
        if len(users) > 1:
            connection("acl", "deluser", *users)  # but for `default`, which cannot be removed
        connection("flushall")
        pipeline(connection, list(FILL))
        return connection

    @settings(
        max_examples=200, deadline=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
    )  # fmt: skip
    @given(seed=st.integers(0, 2**32))
    def run(seed: int) -> None:
        random = Random(seed)
        called, sent = [], []
        while len(sent) < LENGTH:
            name = random.choice(names)
            asked = request(random, name, theirs[name])[: 3 if name in NEWER else None]
            if waits(asked, theirs[name]):
                continue
            called.append(name)
            sent.append(asked)
            if name == "spop":  # from here on the two differ
                break
        with node.connect() as one, reference.connect() as other:
            replies = [pipeline(begin(connection), list(sent)) for connection in (one, other)]
        for name, asked, mine, its in zip(called, sent, *replies, strict=True):
            assert kind(asked, name, mine) == kind(asked, name, its), (
                f"{asked}: ours {mine!r}, redis-server's {its!r} (seed {seed})"
            )
            if not mine.startswith(b"-"):
                answered.add(name)

    run()
    # Not within reach of these words: a payload of RESTORE, a file of users, the LFU policies, a password.
    unreachable = {
        "restore", "acl|load", "acl|save", "object|freq", "auth", "config|rewrite", "config|set", "client|caching",
        "acl|dryrun", "acl|getuser",
    }  # fmt: skip
    assert len(set(names) - answered - unreachable) < 5, set(names) - answered

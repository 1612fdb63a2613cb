"""Which commands there are: those of redis-server, group by group, but for a list of what is left out on purpose."""

from typing import Any

import hiredis

from tests.store.conftest import Server
from tests.store.raw import Argument

GROUPS = ["bitmap", "generic", "geo", "hash", "hyperloglog", "list", "set", "sorted-set", "string", "transactions"]

#: Not served by a storage node.
LEFT_OUT = {
    "migrate",  # speaks to another node
    "pfdebug", "pfselftest",  # about Redis's own HyperLogLog code
    "wait",  # needs replicas
}  # fmt: skip

#: Rows that are those of Redis 7.2, where redis-server here is 7.0.
NEWER = {"zrank", "zrevrank"}


def ask(server: Server, *command: Argument) -> Any:
    reader = hiredis.Reader(encoding="utf-8")
    with server.connect() as connection:
        reader.feed(connection(*command))
    return reader.gets()


def test_every_command_of_these_groups_is_there_with_redis_arity_and_key_positions(
    node: Server, reference: Server
) -> None:
    ours = {row[0]: row for row in ask(node, "command")}
    theirs = {row[0]: row for row in ask(reference, "command")}
    docs = ask(reference, "command", "docs")
    groups = {
        name: dict(zip(fields[::2], fields[1::2], strict=True))["group"]
        for name, fields in zip(docs[::2], docs[1::2], strict=True)
    }
    wanted = {name for name in theirs if groups[name] in GROUPS}
    assert len(wanted) > 150
    assert wanted - set(ours) - {"wait"} == LEFT_OUT - {"wait"}, "LEFT_OUT says what is left out, and nothing else"
    for name in wanted & set(ours) - NEWER:
        mine, its = ours[name], theirs[name]
        assert (mine[1], mine[3:6]) == (its[1], its[3:6]), name
        for flag in ("write", "readonly", "denyoom", "blocking"):
            assert (flag in mine[2]) == (flag in its[2]), f"{name}: {flag}"

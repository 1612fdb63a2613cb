"""Where a client can tell Quench from a bare redis-server 7.0.15: every command whose replies differ, and why.

The tests fail on a difference that is not a row here, and on a row that no longer is a difference.
"""

from __future__ import annotations

from typing import NamedTuple

ONE, TAGGED, SPREAD = "one node", "three nodes, one tag", "three nodes"
EVERYWHERE = (ONE, TAGGED, SPREAD)
SEVERAL = (TAGGED, SPREAD)

MOST = 40  # rows; a longer list is no drop-in


class Row(NamedTuple):
    """Commands (rows of the table, subcommands as `client|id`) that differ in some arrangements for one reason."""

    commands: tuple[str, ...]
    arrangements: tuple[str, ...]
    why: str


DIFFERENCES: tuple[Row, ...] = (
    # whatever the pool
    Row(("acl|help", "client|help", "command|help", "config|help", "function|help", "latency|help", "memory|help",
         "module|help", "object|help", "pubsub|help", "script|help", "slowlog|help", "xgroup|help", "xinfo|help"),
        EVERYWHERE, "the same subcommands in Quench's own words"),
    Row(("acl|cat", "command|list"), EVERYWHERE, "commands of later versions are listed as well"),
    Row(("acl|setuser", "acl|save", "acl|load"), EVERYWHERE, "refused: users come from the configuration"),
    Row(("lolwut",), EVERYWHERE, "another drawing"),
    Row(("command|info",), EVERYWHERE, "key specifications without their notes"),
    Row(("save", "bgsave", "bgrewriteaof", "lastsave"), EVERYWHERE, "refused: persistence belongs to each node"),
    Row(("replicaof", "slaveof", "failover", "replconf"), EVERYWHERE, "refused: replication is the pool's business"),
    Row(("module|load", "module|loadex", "module|unload"), EVERYWHERE, "refused: modules belong to each node"),
    Row(("pfdebug", "script|debug"), EVERYWHERE, "refused: they look into one server"),
    Row(("migrate", "restore-asking"), EVERYWHERE, "refused: keys would go where the ring does not look for them"),
    Row(("shutdown",), EVERYWHERE, "refused: a client cannot stop the proxy"),
    Row(("debug",), EVERYWHERE, "DEBUG SLEEP is allowed and holds up its client alone; the rest is refused"),
    Row(("config|set",), EVERYWHERE, "refused for what only a node has, such as maxmemory"),
    Row(("config|rewrite",), EVERYWHERE, "refused: the configuration is written by people"),
    Row(("select", "subscribe"), EVERYWHERE, "refused inside MULTI, which dooms the transaction"),
    # several nodes
    Row(("swapdb",), SEVERAL, "refused: it would not be atomic"),
    Row(("scan",), SEVERAL, "a cursor says which node is next, so an empty page is not the last"),
    Row(("dbsize",), SEVERAL, "refused inside MULTI: it asks every node"),
    # keys on several nodes
    Row(("bitop", "copy", "eval", "geosearchstore", "lcs", "lmove", "msetnx", "pfmerge", "rename", "renamenx",
         "rpoplpush", "sdiff", "sdiffstore", "sinter", "sintercard", "sinterstore", "smove", "sort", "sunion",
         "sunionstore", "xread", "xreadgroup", "zdiff", "zdiffstore", "zinter", "zintercard", "zinterstore", "zmpop",
         "zrangestore", "zunion", "zunionstore"),
        (SPREAD,), "CROSSSLOT where the keys live on several nodes"),
    Row(("blmove", "blmpop", "blpop", "brpop", "brpoplpush", "bzpopmax", "bzpopmin"),
        (SPREAD,), "CROSSSLOT where a client would have to wait at several nodes"),
    Row(("multi", "watch"), (SPREAD,), "CROSSSLOT where the keys of a transaction live on several nodes"),
)  # fmt: skip


def documented(arrangement: str) -> set[str]:
    """The commands that may differ, and have to, in an arrangement."""
    return {command for row in DIFFERENCES if arrangement in row.arrangements for command in row.commands}

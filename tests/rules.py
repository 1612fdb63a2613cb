"""Rules of users and requests to hold against them, made at random from one seed: for every test of rights."""

from __future__ import annotations

import random

from proxy.acl import CATEGORIES, EVERY_COMMAND
from proxy.commands import COMMANDS, find, key_uses
from proxy.errors import ReplyError
from tests.test_commands import LINES

#: Came after Redis 7.0, so the server to compare with does not know them.
LATER = {row.name for row in EVERY_COMMAND.values() if row.since >= "7.2" or row.name.partition("|")[0] == "asking"}
COMMAND_NAMES = sorted(set(EVERY_COMMAND) - LATER)
KEYS = ["~*", "~a", "~b*", "~[a-d]", "%R~[ab]", "%W~?", "%RW~s*", "%R~*", "%W~*", "~x\\*y", "~h", "%R~g", "%W~d", "~k"]
CHANNELS = ["&*", "&c", "&c*", "&?", "&d[a-z]*", "allchannels", "resetchannels"]

#: More than what finds keys: channels, and what only options tell.
MORE = """
PUBLISH c m | PUBLISH da m | SPUBLISH cc m | SUBSCRIBE c x | SUBSCRIBE c cc | SSUBSCRIBE c | PSUBSCRIBE c*
PSUBSCRIBE c | PSUBSCRIBE * | UNSUBSCRIBE zz | PUNSUBSCRIBE x* | PUBSUB CHANNELS | SET a 1 GET | SET k 1 EX 9
SET a get | SET b 1 NX get | BITFIELD a GET u8 0 OVERFLOW FAIL | BITFIELD a GET u8 0 SET u8 0 1
BITFIELD a OVERFLOW WRAP | BITFIELD a | BITFIELD a GET u8 | STRLEN a | EXISTS g d | GETDEL a | GETEX a PERSIST
GETSET a 1 | PING | ECHO x | SELECT 0 | SELECT 1 | CLIENT ID | CLIENT LIST | CONFIG GET x | CONFIG SET a b
INFO | ACL WHOAMI | ACL LIST | MULTI | EXEC | COMMAND | COMMAND COUNT | DBSIZE | FLUSHALL | AUTH x | HELLO 3
RESET | QUIT | WAIT 0 0 | GET "" | GET x*y | GET xzy | MSET x*y 1 xzy 2 | LATENCY HELP | XGROUP HELP
SCRIPT LOAD x | FUNCTION LIST | MONITOR | KEYS * | SCAN 0 | RANDOMKEY | SWAPDB 0 1 | TIME | LOLWUT | ROLE
OBJECT HELP
"""


def requests() -> list[list[bytes]]:
    """Whole requests of commands that redis-server 7.0 knows."""
    found = []
    for line in [*LINES, *(text.strip() for text in MORE.replace("\n", " | ").split("|"))]:
        args = [b"" if word == '""' else word.encode() for word in line.split()]
        row = find(args)
        odd = row is None or row.name in LATER or row.name == "migrate" or b"01" in args  # Redis reads no 01
        if odd or not row.arity_allows(len(args)):
            continue
        try:
            key_uses(row, args)
        except ReplyError:
            continue
        found.append(args)
    return found


def command_rule(dice: random.Random) -> str:
    """One rule about commands."""
    kind = dice.random()
    sign = dice.choice("++-")
    if kind < 0.35:
        return sign + dice.choice(COMMAND_NAMES)
    if kind < 0.6:
        return sign + dice.choice([args[0].decode().lower() for args in REQUESTS])
    if kind < 0.9:
        return f"{sign}@{dice.choice(list(CATEGORIES))}"
    if kind < 0.95:
        return sign + "@all"
    return "+" + dice.choice(["select|0", "echo|x", "get|a", "set|b", "echo|Y", "publish|c"])


def selector_rules(dice: random.Random) -> list[str]:
    """Rules of one selector, in an order that Redis accepts."""
    rules = [dice.choice(["+@all", "-@all", "+@read", "+@write", "+@keyspace", "allcommands"])]
    rules += [command_rule(dice) for _ in range(dice.randrange(6))]
    for patterns, reset in ((KEYS, "resetkeys"), (CHANNELS, "resetchannels")):
        for pattern in dice.sample(patterns, dice.randrange(4)):
            if pattern[1:] == "*" and pattern[0] != "%":
                rules.append(reset)
            rules.append(pattern)
            if pattern in ("~*", "&*", "allchannels"):
                break
    return rules


def random_rules(dice: random.Random) -> list[str]:
    """Rules of one user, on and without a password."""
    rules = ["on", "nopass", *selector_rules(dice)]
    for _ in range(dice.choice([0, 0, 1, 2])):
        rules.append(f"({' '.join(selector_rules(dice))})")
    return rules


REQUESTS = requests()
assert {args[0].lower() for args in REQUESTS} > {b"get", b"publish", b"eval"} and COMMANDS

"""Kinds of keys, and what clients ask of each: a table of requests with weights, beside the model that judges them.

A request is one command, or a MULTI of several. What it asks is said twice: in the words that are sent, and in those of
the model. EXPIRE has a number of its own each time, by which the model knows whose time is up.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import hiredis

from tests.proof import models
from tests.proof.models import Call

Words = list[str | int]

MULTI_REPLIES = 2  # of a transaction, beside one for each of its commands: those to MULTI and EXEC

_expiry = itertools.count(1)
_block = itertools.count(1)


@dataclass(frozen=True)
class Request:
    """`lives`: by EXPIRE in it, its number and its seconds."""

    words: list[Words]
    call: Call
    lives: tuple[tuple[int, float], ...] = ()


def one(verb: str, *rest: str | int, call: Call) -> Callable[[str, random.Random], Request]:
    return lambda key, dice: Request([[verb, key, *rest]], call)


def increment(key: str, dice: random.Random) -> Request:
    verb, amount, sign = dice.choices(
        [("INCR", None, 1), ("DECR", None, -1), ("INCRBY", dice.randint(2, 9), 1), ("DECRBY", dice.randint(2, 9), -1),
         ("INCRBY", -dice.randint(2, 9), 1)], [12, 3, 4, 2, 1])[0]  # fmt: skip
    return Request([[verb, key] if amount is None else [verb, key, amount]], ("INCRBY", sign * (amount or 1)))


def plus_one(key: str, dice: random.Random) -> Request:
    return Request([["INCR", key]], ("INCRBY", 1))


def increment_field(key: str, dice: random.Random) -> Request:
    field, amount = dice.choice("fg"), dice.choice((1, 1, 1, 2, 5, -1))
    return Request([["HINCRBY", key, field, amount]], ("HINCRBY", field.encode(), amount))


def assign(key: str, dice: random.Random) -> Request:
    """Another number each time, far from all others, so that it is seen which one an increment came after."""
    value = str(1_000_000 * next(_block))
    return Request([["SET", key, value]], ("SET", value.encode()))


def spoil(key: str, dice: random.Random) -> Request:
    """What cannot be incremented, or not for long."""
    value = dice.choice(("x", "1.5", "", "9223372036854775806", "-9223372036854775800", "4611686018427387900", "007"))
    return Request([["SET", key, value]], ("SET", value.encode()))


def assign_field(key: str, dice: random.Random) -> Request:
    field, value = dice.choice("fg"), str(1_000_000 * next(_block)) if dice.random() < 0.9 else "x"
    return Request([["HSET", key, field, value]], ("HSET", field.encode(), value.encode()))


def field(verb: str) -> Callable[[str, random.Random], Request]:
    def ask(key: str, dice: random.Random) -> Request:
        name = dice.choice("fg")
        return Request([[verb, key, name]], (verb, name.encode()))

    return ask


def member(verb: str, meaning: str, elements: str) -> Callable[[str, random.Random], Request]:
    def ask(key: str, dice: random.Random) -> Request:
        name = dice.choice(elements)
        return Request([[verb, key, name]], (meaning, name.encode()))

    return ask


def expire(key: str, dice: random.Random) -> Request:
    number = next(_expiry)
    if dice.random() < 0.5:
        seconds = dice.choice((1, 1, 2, 60))
        return Request([["EXPIRE", key, seconds]], ("EXPIRE", number), ((number, seconds),))
    life = dice.choice((30, 100, 400, 90_000))
    return Request([["PEXPIRE", key, life]], ("EXPIRE", number), ((number, life / 1000),))


def soon(key: str, dice: random.Random) -> Request:
    """The rate limiter's window: the same each time, so that pairs are alike."""
    number = next(_expiry)
    return Request([["EXPIRE", key, 1]], ("EXPIRE", number), ((number, 1.0),))


def unit(*parts: Callable[[str, random.Random], Request]) -> Callable[[str, random.Random], Request]:
    """A transaction."""

    def ask(key: str, dice: random.Random) -> Request:
        asked = [part(key, dice) for part in parts]
        words = [["MULTI"], *(words for request in asked for words in request.words), ["EXEC"]]
        lives = tuple(life for request in asked for life in request.lives)
        return Request(words, ("MULTI", *(request.call for request in asked)), lives)

    return ask


@dataclass(frozen=True)
class Kind:
    """`asks`: rows of a weight and the requests that are sent together. `look`: what shows all of it."""

    model: Callable[[Any, Any], tuple[Any, Any]]
    asks: Sequence[tuple[float, tuple[Callable[[str, random.Random], Request], ...]]]
    look: Callable[[str, random.Random], Request]

    def draw(self, key: str, dice: random.Random) -> list[Request]:
        chosen = dice.choices(self.asks, [weight for weight, _ in self.asks])[0][1]
        return [ask(key, dice) for ask in chosen]


GET = one("GET", call=("GET",))
DEL = one("DEL", call=("DEL",))
PAIR, PAIR_AT_ONCE = (plus_one, soon), (unit(plus_one, soon),)

KINDS = {
    "anything": Kind(models.string, [
        (40, (increment,)), (15, (plus_one,) * 4), (8, (GET,)), (3, (assign,)), (2, (assign, plus_one)), (1, (spoil,)),
        (2, (DEL,)), (3, (expire,)), (4, PAIR), (3, PAIR_AT_ONCE), (2, (unit(plus_one, increment, GET),)),
        (1, (unit(DEL, plus_one),)), (1, (unit(plus_one, expire),)), (1, (unit(assign, increment),))], GET),
    "tally": Kind(models.string, [(60, (increment,)), (20, (plus_one,) * 6), (10, (GET,))], GET),
    "limiter": Kind(models.string, [(30, PAIR), (20, PAIR * 3), (20, PAIR_AT_ONCE), (10, (plus_one,)), (8, (GET,)),
                                    (0.5, (DEL,))], GET),
    "hash": Kind(models.hash_, [
        (50, (increment_field,)), (6, (field("HGET"),)), (2, (assign_field,)), (1, (field("HDEL"),)), (1, (DEL,)),
        (2, (expire,)), (4, (increment_field, soon)), (3, (unit(increment_field, soon),))],
        one("HGETALL", call=("HGETALL",))),
    "set": Kind(models.members, [
        (40, (member("SADD", "ADD", "abcde"),)), (8, (member("SREM", "REMOVE", "abcde"),)), (2, (DEL,)), (1, (expire,)),
        (8, (one("SCARD", call=("COUNT",)),))], one("SCARD", call=("COUNT",))),
    "sketch": Kind(models.members, [
        (40, (member("PFADD", "ADD", "abcde"),)), (4, (DEL,)), (1, (expire,)), (8, (one("PFCOUNT", call=("COUNT",)),))],
        one("PFCOUNT", call=("COUNT",))),
}  # fmt: skip


def answer_of(call: Call, reply: Any) -> Any:
    """A reply in the model's words; an error stays one."""
    if isinstance(reply, hiredis.ReplyError):
        return reply
    if call[0] == "MULTI":
        parts = [answer_of(one, part) for one, part in zip(call[1:], reply, strict=True)]
        return tuple(str(part) if isinstance(part, hiredis.ReplyError) else part for part in parts)
    if call[0] == "HGETALL":
        pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
        return frozenset(pairs)
    return "OK" if call[0] == "SET" and reply == b"OK" else reply

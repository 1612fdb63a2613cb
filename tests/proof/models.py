"""Models: what one key does, as a single Redis would: the state afterwards and the answer, for a state and a call.

A state is None (no such key) or a pair: what it holds, and which EXPIRE runs (0: none). That a key's time is up is an
operation of its own, `RUN OUT`, which happens between the earliest and the latest moment that the EXPIRE allows; it
does nothing if another one runs by then. `WIPE` is a node that came back empty. `MULTI` is several calls at once.
"""

from __future__ import annotations

from typing import Any

LEAST, MOST = -(1 << 63), (1 << 63) - 1
NOT_A_NUMBER = "ERR value is not an integer or out of range"
NOT_A_NUMBER_IN_A_HASH = "ERR hash value is not an integer"
OVERFLOW = "ERR increment or decrement would overflow"
MISTAKES = (NOT_A_NUMBER, NOT_A_NUMBER_IN_A_HASH, OVERFLOW)  #: errors that are answers

State = tuple[Any, int] | None
Call = tuple[Any, ...]


READS = {"GET", "HGET", "HGETALL", "COUNT"}
HARMLESS_AT_ZERO = {"DEL", "EXPIRE", "HDEL", "ADD", "REMOVE"}


def harmless(call: Call, answer: Any) -> bool:
    """If it changes nothing, will it never? (RUN OUT comes after its EXPIRE: once another one runs, that is so.)"""
    verb = call[0]
    return (verb in READS or verb == "RUN OUT" or (answer == 0 and verb in HARMLESS_AT_ZERO)
            or (isinstance(answer, str) and answer in MISTAKES))  # fmt: skip


def number(text: bytes) -> int | None:
    """As Redis reads an integer: no sign but a minus, no blanks, no zeros ahead."""
    try:
        value = int(text)
    except ValueError:
        return None
    return value if b"%d" % value == text and LEAST <= value <= MOST else None


def near(text: bytes, sign: int) -> str:
    """Increments that left together are told of an overflow together, though some of them would have fitted."""
    value = number(text)
    return OVERFLOW if value is not None and sign * value >= 1 << 62 else ""


def added(text: bytes, amount: int, mistake: str) -> tuple[bytes, Any]:
    """What it becomes, and the answer."""
    value = number(text)
    if value is None:
        return text, mistake
    if not LEAST <= value + amount <= MOST:
        return text, OVERFLOW
    return b"%d" % (value + amount), value + amount


def string(state: State, call: Call) -> tuple[State, Any]:
    """GET, SET, INCRBY."""
    verb = call[0]
    value, running = state or (None, 0)
    if verb == "GET":
        return state, value
    if verb == "SET":
        return (call[1], 0), "OK"
    if verb == "NEAR THE END":
        return state, near(b"0" if value is None else value, call[1])
    if verb == "INCRBY":
        value, answer = added(b"0" if value is None else value, call[1], NOT_A_NUMBER)
        return (state if isinstance(answer, str) else (value, running)), answer
    return common(string, state, call)


def hash_(state: State, call: Call) -> tuple[State, Any]:
    """HGET, HSET, HDEL, HINCRBY, HGETALL. A state holds a frozenset of pairs."""
    verb = call[0]
    pairs, running = state or (frozenset(), 0)
    if verb == "HGETALL":
        return state, pairs
    if verb in ("HGET", "HSET", "HDEL", "HINCRBY", "FIELD NEAR THE END"):
        fields = dict(pairs)
        old = fields.get(call[1])
        if verb == "FIELD NEAR THE END":
            return state, near(b"0" if old is None else old, call[2])
        if verb == "HGET":
            return state, old
        if verb == "HINCRBY":
            fields[call[1]], answer = added(b"0" if old is None else old, call[2], NOT_A_NUMBER_IN_A_HASH)
            return (state if isinstance(answer, str) else (frozenset(fields.items()), running)), answer
        if verb == "HSET":
            fields[call[1]] = call[2]
            return (frozenset(fields.items()), running), int(old is None)
        fields.pop(call[1], None)
        return ((frozenset(fields.items()), running) if fields else None), int(old is not None)
    return common(hash_, state, call)


def members(state: State, call: Call) -> tuple[State, Any]:
    """ADD, REMOVE, COUNT: of a set, or of a HyperLogLog of so few elements that it counts them exactly."""
    verb = call[0]
    held, running = state or (frozenset(), 0)
    if verb == "COUNT":
        return state, len(held)
    if verb == "ADD":
        return ((held | {call[1]}, running), 1) if call[1] not in held else (state, 0)
    if verb == "REMOVE":
        left = held - {call[1]}
        return ((left, running) if left else None), len(held) - len(left)
    return common(members, state, call)


def common(model: Any, state: State, call: Call) -> tuple[State, Any]:
    """What all kinds have: DEL, EXPIRE, RUN OUT, WIPE, MULTI."""
    verb = call[0]
    if verb == "DEL":
        return None, int(state is not None)
    if verb == "EXPIRE":
        return (state, 0) if state is None else ((state[0], call[1]), 1)
    if verb == "RUN OUT":
        return (None if state is not None and state[1] == call[1] else state), None
    if verb == "WIPE":
        return None, None
    if verb == "MULTI":
        answers = []
        for one in call[1:]:
            state, answer = model(state, one)
            answers.append(answer)
        return state, tuple(answers)
    raise ValueError(f"{verb} is not in the model")

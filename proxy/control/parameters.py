"""Parameters: what CONFIG SET may change while the proxy runs, and how each value is read.

Pure: from words to values, or to the error in which Redis says what is wrong with them. A parameter that CONFIG GET
shows and that is not here is fixed: it is the configuration file's, or it belongs to the nodes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from proxy.control.answers.config import DEFAULTS
from proxy.errors import ReplyError

__all__ = ["LOG_LEVELS", "PARAMETERS", "Parameter", "parse"]

#: Redis's levels → those of logging. The proxy has nothing between debug and info.
LOG_LEVELS = {"debug": "DEBUG", "verbose": "INFO", "notice": "INFO", "warning": "WARNING"}

_UNITS = {"": 1, "b": 1, "k": 1000, "kb": 1 << 10, "m": 1000**2, "mb": 1 << 20, "g": 1000**3, "gb": 1 << 30}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One row."""

    read: Callable[[str], int | str]  #: raises ValueError with Redis's words
    limit: str = ""  #: of Engine.set_limit; empty: a setting of the whole process
    scale: int = 1  #: from the parameter's unit to the limit's
    of_nodes: bool = False  #: every node has it, and judges its values


def _between(low: int, high: int, value: int) -> int:
    if not low <= value <= high:
        raise ValueError(f"argument must be between {low} and {high} inclusive")
    return value


def _number(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"0|-?[1-9][0-9]{0,18}", text, re.ASCII):
            raise ValueError("argument couldn't be parsed into an integer")
        return _between(low, high, int(text))

    return read


def _memory(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        match = re.fullmatch(r"([0-9]{1,19})([a-z]*)", text.lower(), re.ASCII)
        if match is None or match[2] not in _UNITS:
            raise ValueError("argument must be a memory value")
        return _between(low, high, int(match[1]) * _UNITS[match[2]])

    return read


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"argument(s) must be one of the following: {', '.join(words)}")
        return text.lower()

    return read


#: name → row.
PARAMETERS: dict[str, Parameter] = {
    "latency-monitor-threshold": Parameter(str, of_nodes=True),
    "notify-keyspace-events": Parameter(str, of_nodes=True),
    "slowlog-log-slower-than": Parameter(str, of_nodes=True),
    "slowlog-max-len": Parameter(str, of_nodes=True),
    "client-query-buffer-limit": Parameter(_memory(1 << 20, (1 << 63) - 1), "query_buffer"),
    "loglevel": Parameter(_one_of(*LOG_LEVELS)),
    "maxclients": Parameter(_number(1, (1 << 32) - 1), "most_clients"),
    "proto-max-bulk-len": Parameter(_memory(1 << 20, (1 << 63) - 1), "max_bulk"),
    "timeout": Parameter(_number(0, (1 << 31) - 1), "idle_us", 1_000_000),
}


def parse(words: Sequence[bytes]) -> dict[str, int | str]:
    """Name and value in turn, the operands of CONFIG SET, as values by name; nothing is changed unless all are right.

    Raises:
        ReplyError: as Redis words it: an unknown name first, then what is fixed or there twice, then bad values.
    """
    if len(words) % 2:
        raise ReplyError("syntax")
    names: list[tuple[str, bytes, bytes]] = []
    for shown, value in zip(words[::2], words[1::2], strict=True):
        name = shown.lower().decode("latin-1")
        if name not in PARAMETERS and name not in DEFAULTS:
            raise ReplyError("config_unknown", name=shown)
        if name not in PARAMETERS:
            raise ReplyError("config_failed", name=shown, reason="can't set immutable config")
        if any(name == other for other, _, _ in names):
            raise ReplyError("config_failed", name=shown, reason="duplicate parameter")
        names.append((name, shown, value))
    values = {}
    for name, shown, value in names:
        try:
            values[name] = PARAMETERS[name].read(value.decode("latin-1"))
        except ValueError as error:
            raise ReplyError("config_failed", name=shown, reason=error) from None
    return values

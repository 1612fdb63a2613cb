"""Spelling: one value of an option, from the text of a file and back.

A table from the kind of an option to the two functions that read and write it. Reading raises ValueError with what is
wrong and what to do; the loader adds the place. Writing gives what YAML should hold, and reading that gives the same
value again, a password excepted: it is written as a mask.
"""

import re
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from proxy.address import Server, parse_listen
from proxy.options import Kind, Option
from proxy.settings import MASK, P95, CounterPrefix, HotPrefix, Secret, usable_cpus
from proxy.units import LONGEST, format_duration, format_size, parse_duration, parse_size

Number = TypeVar("Number", int, float)

# YAML 1.1 has eleven words for a truth value; these are the ones that people write.
TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}

MOST_COUNT = (1 << 31) - 1  # counts are C ints in the data plane
_NUMBER = re.compile(r"[0-9]{1,15}")


def parse(option: Option, text: str, nutcracker: bool = False) -> Any:
    """The value that `text` means for `option`, bounds checked. In a nutcracker.yml durations are bare milliseconds.

    Raises ValueError with advice.
    """
    if nutcracker and option.kind in ("duration", "count"):
        return _parse_twemproxy_number(option, text)
    return _PARSERS[option.kind](option, text)


def spell(option: Option, value: Any) -> Any:
    """What to write for `value`: a str, int, bool, a list of them, or None."""
    if value is None:
        return "none" if option.kind in ("duration", "delay", "percent") else None
    return _SPELLERS.get(option.kind, lambda value: value)(value)


def expected(option: Option) -> str:
    """What may be written, for `--describe` and the comments of the sample file."""
    if option.choices:
        return " | ".join(option.choices)
    bounds = ""
    if option.kind in ("count", "engines") and (option.least > 0 or option.most != float("inf")):
        bounds = f" from {option.least:g}" if option.most == float("inf") else f" {option.least:g}..{option.most:g}"
    return _EXPECTED[option.kind] + bounds


def nearest(word: str, known: list[str]) -> str:
    """`; did you mean X?` when a known word is near, else the empty string."""
    found = get_close_matches(word, known, n=1)
    return f"; did you mean {found[0]}?" if found else ""


def _parse_duration(option: Option, text: str) -> float | None:
    if text == "none":
        if option.nullable:
            return None
        raise ValueError("this wait cannot be endless; write a duration like 400ms or 30s")
    return _bounded(option, parse_duration(text), format_duration)


def _parse_size(option: Option, text: str) -> int:
    return _bounded(option, parse_size(text), format_size)


def _parse_count(option: Option, text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"expected a whole number, got '{text}'")
    return _bounded(option, int(text), str)


def _parse_engines(option: Option, text: str) -> int:
    if text == "auto":
        return min(usable_cpus(), int(option.most))
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"expected auto or a whole number, got '{text}'")
    return _parse_count(option, text)


def _parse_twemproxy_number(option: Option, text: str) -> float | int | None:
    """twemproxy takes any whole number: milliseconds for a duration, where 0 is no timeout, and 0 failures are 1."""
    if not _NUMBER.fullmatch(text):
        unit = " of milliseconds" if option.kind == "duration" else ""
        raise ValueError(f"expected a whole number{unit}, got '{text}'")
    number = int(text)
    if option.kind == "count":
        return min(max(number, int(option.least)), MOST_COUNT)
    if number == 0:
        return None if option.endless else option.least
    return min(number / 1000, LONGEST)


def _parse_flag(option: Option, text: str) -> bool:
    if text.lower() not in TRUTH:
        raise ValueError(f"expected true or false, got '{text}'")
    return TRUTH[text.lower()]


def _parse_choice(option: Option, text: str) -> str:
    if text not in option.choices:
        advice = nearest(text.lower(), list(option.choices)) or f"; use one of {', '.join(option.choices)}"
        raise ValueError(f"'{text}' is unknown{advice}")
    return text


def _parse_rate(option: Option, text: str) -> int:
    number, slash, unit = text.partition("/")
    if (slash and unit != "s") or not _NUMBER.fullmatch(number):
        raise ValueError(f"expected requests a second like 1000/s, got '{text}'")
    return _bounded(option, int(number), lambda bound: f"{bound:g}/s")


def _parse_percent(option: Option, text: str) -> int | None:
    if text == "none" and option.nullable:
        return None
    number, percent, rest = text.partition("%")
    if not percent or rest or not _NUMBER.fullmatch(number):
        raise ValueError(f"expected a whole percentage like 5%, got '{text}'")
    return _bounded(option, int(number), lambda bound: f"{bound:g}%")


def _parse_tag(option: Option, text: str) -> str:
    if len(text.encode()) != 2:
        raise ValueError(f"expected two characters like \"{{}}\", got '{text}'")
    return text


def _parse_text(option: Option, text: str) -> str:
    if not text:
        raise ValueError("is empty; give it a value or delete the key")
    return text


def _parse_file(option: Option, text: str) -> Secret:
    """The first line of the file `text`, relative to the working directory, as a password."""
    try:
        lines = Path(text).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ValueError(f"cannot read {text}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"cannot read {text}: it is not UTF-8 text") from None
    if not lines or not lines[0]:
        raise ValueError(f"the first line of {text} is empty; write the password there")
    return Secret(lines[0])


def _bounded(option: Option, value: Number, write: Callable[[Number], str]) -> Number:
    if value < option.least:
        raise ValueError(f"{write(value)} is too small; the least is {write(type(value)(option.least))}")
    most = min(option.most, MOST_COUNT) if option.kind == "count" else option.most
    if value > most:
        raise ValueError(f"{write(value)} is too large; the most is {write(type(value)(most))}")
    return value


def _spell_prefixes(prefixes: tuple[HotPrefix, ...] | tuple[CounterPrefix, ...]) -> dict[str, dict[str, Any]]:
    """By prefix, what differs for it."""
    return {
        rule.prefix: {
            name: format_duration(value) if isinstance(value, float) else value
            for name in rule.__struct_fields__[1:]
            if (value := getattr(rule, name)) is not None
        }
        for rule in prefixes
    }


_PARSERS: dict[Kind, Callable[[Option, str], Any]] = {
    "engines": _parse_engines,
    "listen": lambda option, text: parse_listen(text),
    "duration": _parse_duration,
    "size": _parse_size,
    "count": _parse_count,
    "flag": _parse_flag,
    "choice": _parse_choice,
    "tag": _parse_tag,
    "rate": _parse_rate,
    "delay": lambda option, text: P95 if text == P95 else _parse_duration(option, text),
    "percent": _parse_percent,
    "text": _parse_text,
    "secret": lambda option, text: Secret(_parse_text(option, text)),
    "file": _parse_file,
}


def _spell_server(server: Server) -> str | dict[str, Any]:
    """One line, or where there are replicas a mapping of two."""
    if not server.replicas:
        return str(server)
    replicas = [f"{replica.address} {replica.name or ''}".strip() for replica in server.replicas]
    return {"address": str(server), "replicas": replicas}


_SPELLERS: dict[Kind, Callable[[Any], Any]] = {
    "listen": str,
    "servers": lambda servers: [_spell_server(server) for server in servers],
    "addresses": lambda servers: [server.address for server in servers],
    "seeds": lambda seeds: [seed.address for seed in seeds],
    "groups": lambda groups: {group.name: list(group.prefixes) for group in groups},
    "duration": format_duration,
    "size": format_size,
    "rate": lambda rate: f"{rate}/s",
    "delay": lambda delay: delay if delay == P95 else format_duration(delay),
    "percent": lambda percent: f"{percent}%",
    "hot_prefixes": _spell_prefixes,
    "counter_prefixes": _spell_prefixes,
    "counted": lambda keys: keys if isinstance(keys, str) else list(keys),
    "secret": lambda secret: MASK,
}

_EXPECTED: dict[Kind, str] = {
    "users": "NAME: {password | password_file | password_hash | nopass, rules, scripts} for each user",
    "acl_file": "a path",
    "engines": "auto or a number",
    "listen": "host:port, or /path [mode]",
    "servers": "a list of 'host:port[:weight] [name]', '/path[:weight] [name]' or {address, weight, name, replicas}",
    "addresses": "a list of host:port",
    "seeds": "a list of 'host:port'",
    "groups": "GROUP: [PREFIX, …] for each group",
    "duration": "a duration like 400ms, 30s, 5m",
    "size": "a size like 256kb, 64mb, 1gb",
    "count": "a number",
    "flag": "true or false",
    "choice": "a word",
    "tag": "two characters",
    "rate": "requests a second like 1000/s",
    "delay": f"{P95}, or a duration like 20ms, or none",
    "percent": "a percentage like 5%",
    "counted": "hot | all | off | a list of prefixes",
    "hot_prefixes": "PREFIX: {strategy, copies, ttl, …} for each prefix",
    "counter_prefixes": "PREFIX: {mode, window, max_batch, shards} for each prefix",
    "text": "text",
    "secret": "a password, or ${VARIABLE}",
    "file": "a path",
}

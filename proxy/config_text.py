"""Configuration as text: the effective settings, the table of options, the sample file with every default.

Everything here is made from the option table. `effective` is in the native form, whatever form was read, with every
option spelled out and passwords masked: loading it gives the same settings again, and for a nutcracker.yml it is the
migrated file.
"""

from textwrap import fill
from typing import Any

import yaml
from msgspec import UNSET

from proxy.config_users import spell_users
from proxy.options import CLUSTER, ENGINES, OPTIONS, RING, Option
from proxy.settings import Pool, Settings
from proxy.spelling import expected, spell

WIDTH = 112


def effective(settings: Settings) -> dict[str, Any]:
    """The settings as YAML and JSON can hold them: {"engines": n, "pools": {name: {option: value}}}, secrets masked."""
    return {"engines": settings.engines, "pools": {pool.name: _pool(pool) for pool in settings.pools}}


def _pool(pool: Pool) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for option in OPTIONS:
        if option.sets is None and option.key not in (RING if pool.cluster else CLUSTER):
            holder = getattr(pool, option.group) if option.group else pool
            place = options.setdefault(option.group, {}) if option.group else options
            value = getattr(holder, option.name)
            place[option.name] = spell_users(value) if option.kind == "users" else spell(option, value)
    return options


def to_yaml(document: Any) -> str:
    """`document` as YAML in the order given."""
    return str(yaml.dump(document, sort_keys=False, allow_unicode=True, width=WIDTH))


def describe() -> list[dict[str, Any]]:
    """The option table for people and programs: one dict a row, in the order of the file."""
    return [_row(option) for option in (ENGINES, *OPTIONS)]


def _row(option: Option) -> dict[str, Any]:
    key = option.key if option is ENGINES else f"pools.NAME.{option.key}"
    row = {"option": key, "value": expected(option), "default": _default(option), "help": option.help}
    if option.nutcracker is not UNSET:
        row["nutcracker"] = spell(option, option.nutcracker)
    return row | {"where": option.where}


def _default(option: Option) -> Any:
    if option.kind == "users":
        return spell_users(option.default)
    return None if option.default is UNSET else spell(option, option.default) if option is not ENGINES else "auto"


def describe_text() -> str:
    """The option table as a page."""
    lines = []
    for row in describe():
        default = "" if row["default"] is None else f"; default {to_word(row['default'])}"
        if "nutcracker" in row:
            default += f" (nutcracker.yml: {to_word(row['nutcracker'])})"
        only = "; nutcracker.yml only" if row["where"] == "nutcracker" else ""
        lines += [f"{row['option']}", f"    {row['value']}{default}{only}"]
        lines += [fill(row["help"], WIDTH, initial_indent="    ", subsequent_indent="    "), ""]
    return "\n".join(lines[:-1])


def to_word(value: Any) -> str:
    """One value as it stands in a YAML file."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def defaults() -> str:
    """The sample file: a pool that works, and every option as a comment at its default."""
    lines = [
        "# Every option of Quench at its default. To change one, take away the # right before it (and before the name",
        "# of its group), and write another value. Durations and sizes carry their unit: us ms s m h d, b kb mb gb",
        "# (powers of 1024). A value may hold ${VARIABLE} or ${VARIABLE:-default}, taken from the environment.",
        "# `quench config --defaults` prints this file.",
        "",
        *_sample(ENGINES, ""),
        "",
        "pools:",
        "  cache:",
    ]
    group = ""
    for option in OPTIONS:
        if option.where == "nutcracker":
            continue
        if option.group != group:
            group = option.group
            lines += [f"    #{group}:"] if group else []
        lines += [*_sample(option, "      " if group else "    "), ""]
    return "\n".join(lines[:-1]) + "\n"


# What the sample file shows for options that have no default.
SAMPLES = {
    "listen": "listen: 127.0.0.1:6400",
    "servers": "servers:\n      - 127.0.0.1:6379:1 a\n"
    "      - {address: 127.0.0.1:6380, weight: 1, name: b, replicas: [127.0.0.1:6390]}",
    "cluster": "#cluster: [10.0.0.1:6379, 10.0.0.2:6379]",
    "hash_tag": '#hash_tag: "{}"',
    "colocate": '#colocate: {celery: ["celery", "unacked", "_kombu."], rq: ["rq:"]}',
    "password": "#password: ${CACHE_PASSWORD}",
    "password_file": "#password_file: /run/secrets/cache",
    "users": "#users:\n    #  app: {password: \"${APP_PASSWORD}\", rules: \"~app:* +@all -@dangerous\"}",
    "acl_file": "#acl_file: /etc/quench/users.acl",
    "node_username": "#node_username: quench",
    "node_password": "#node_password: ${NODE_PASSWORD}",
    "node_password_file": "#node_password_file: /run/secrets/node",
    "redis_auth": "#redis_auth: ${REDIS_PASSWORD}",
    "auto_eject_hosts": "#auto_eject_hosts: false",
}


def _sample(option: Option, indent: str) -> list[str]:
    """The comment and the line of one option."""
    told = option.choices or option.kind in (
        "groups", "hot_prefixes", "counter_prefixes", "listen", "seeds", "servers", "users",
    )  # fmt: skip
    values = f" ({expected(option)})" if told else ""
    note = fill(
        f"{option.help[:1].upper()}{option.help[1:]}{values}.", WIDTH,
        initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ",
    )  # fmt: skip
    return [note, indent + SAMPLES.get(option.key, f"#{option.name}: {to_word(_default(option))}")]


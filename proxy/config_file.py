"""The configuration file: YAML text in, a checked Settings or every problem at once out.

Owns reading the file, telling its two forms apart, and its root; `config_pool.py` reads a pool. The YAML is composed
to nodes, not loaded to objects, because only nodes know their line and column, keep a value as it was written
(`redis_auth: 0123` is a password, not 83) and show a key that occurs twice.

The native form has `pools:` at its root. A nutcracker.yml has the pools themselves there, and
twemproxy's meaning: its keys, its defaults, bare milliseconds, no `${VARIABLE}`. What twemproxy 0.5.0 accepts is
accepted, with a warning where it does harm; in a native file the same mistakes are errors.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml
from yaml.events import CollectionEndEvent, CollectionStartEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from proxy.config_pool import PoolReader
from proxy.config_walk import Walk, place, shape
from proxy.options import ENGINES, GROUPS, OPTIONS
from proxy.settings import ConfigError, Pool, Problem, Settings
from proxy.spelling import nearest, parse

# Composing recurses in C without a limit, and overruns the stack on a file of brackets: a reload must survive that.
MOST_DEPTH = 32


def load(path: str, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the file `path` ("-" is standard input). Raises ConfigError with all of its problems."""
    name = "<stdin>" if path == "-" else path
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError([Problem(name, 0, 0, "", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(name, line, 1, "", "is not UTF-8 text; save it as UTF-8")]) from None
    return loads(text, name, environ)


def loads(text: str, file: str = "<text>", environ: Mapping[str, str] | None = None) -> Settings:
    """Read the configuration `text`; `file` names it in messages. Raises ConfigError with all of its problems."""
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            if depth > MOST_DEPTH:
                message = f"is nested more than {MOST_DEPTH} deep; a configuration needs 5"
                raise ConfigError([Problem(file, *place(event.start_mark), "", message)])
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        at = place(error.problem_mark or error.context_mark)
        raise ConfigError([Problem(file, *at, "", f"is not YAML: {error.problem or error.context}")]) from None
    except yaml.YAMLError as error:
        raise ConfigError([Problem(file, 0, 0, "", f"is not YAML: {str(error).splitlines()[0]}")]) from None
    walk = Walk(file, os.environ if environ is None else environ)
    if root is None:
        raise ConfigError([Problem(file, 1, 1, "", "is empty; it needs pools: with at least one pool")])
    if not isinstance(root, MappingNode):
        walk.problem(root, "", f"expected pools: at the root, got {shape(root)}")
        raise ConfigError(walk.problems)
    walk.nutcracker = is_nutcracker(root)
    engines, pools = _read_root(walk, root)
    if walk.problems:
        raise ConfigError(walk.problems)
    warnings = sorted(walk.warnings, key=lambda warning: (warning.line, warning.column))
    return Settings(engines=engines, pools=tuple(pools), file=file, warnings=tuple(warnings))


def is_nutcracker(root: MappingNode) -> bool:
    """Are the pools at the root, as twemproxy has them? (A pool that is called `pools` does not fool it.)"""
    native = any(key.value == "pools" and not _is_pool(value) for key, value in root.value)
    return not native and any(_is_pool(value) for _, value in root.value)


def _is_pool(node: Node) -> bool:
    """Does it have a listener or servers, in the shape of either, right below itself?"""
    shapes = {"listen": ScalarNode, "servers": SequenceNode}
    return isinstance(node, MappingNode) and any(
        isinstance(key, ScalarNode) and isinstance(value, shapes.get(key.value, ())) for key, value in node.value
    )


def _read_root(walk: Walk, root: MappingNode) -> tuple[int, list[Pool]]:
    """engines and the pools; what they are is of use only if no problem was noted."""
    engines: int = parse(ENGINES, "auto")
    if walk.nutcracker:
        return engines, _read_pools(walk, root)
    pools: Node | None = None
    for name, key, value in walk.entries(root, ""):
        if name == "pools":
            pools = value
        elif name == "engines":
            engines = walk.scalar(ENGINES, value, name)
        elif name in GROUPS or any(name == option.key for option in OPTIONS):
            walk.problem(key, name, "is an option of a pool; move it under pools: NAME:")
        else:
            advice = nearest(name, ["engines", "pools"]) or "; at the root are engines and pools"
            walk.problem(key, name, f"unknown key{advice}")
    if pools is None:
        walk.problem(root, "pools", "is missing; it names the pools to serve")
    elif not isinstance(pools, MappingNode) or not pools.value:
        walk.problem(pools, "pools", "expected NAME: {listen, servers} for each pool")
    else:
        return engines, _read_pools(walk, pools)
    return engines, []


def _read_pools(walk: Walk, node: MappingNode) -> list[Pool]:
    """The pools that are right, checked against each other."""
    pools = []
    taken: dict[str, str] = {}  # by listener, the pool that has it
    led: dict[str, str] = {}  # by node, the pool that promotes there
    for name, key, value in walk.entries(node, "" if walk.nutcracker else "pools"):
        path = name if walk.nutcracker else f"pools.{name}"
        if not name or not (walk.nutcracker or (name.isprintable() and " " not in name)):
            walk.problem(key, path, "the name of a pool is one word")
        elif not isinstance(value, MappingNode):
            walk.problem(value, path, f"expected the options of a pool, got {shape(value)}")
        elif pool := PoolReader(walk, name, key, path).read(value):
            pools.append(pool)
            listen = str(pool.listen)
            if listen in taken and (pool.listen.path or pool.listen.port):
                walk.problem(key, f"{path}.listen", f"{listen} is pool {taken[listen]}'s; choose another")
            taken.setdefault(listen, name)
            if pool.failover == "promote":
                addresses = [node.address for node in pool.nodes]
                if shared := [address for address in addresses if address in led]:
                    walk.problem(
                        key, f"{path}.failover",
                        f"pool {led[shared[0]]} promotes at {shared[0]}, too, and two pools would not agree; "
                        "give them one pool, or nodes of their own",
                    )  # fmt: skip
                led.update(dict.fromkeys(addresses, name))
    return pools

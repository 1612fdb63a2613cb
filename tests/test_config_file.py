"""The configuration file: exact positions, all problems at once, both forms, and the way back to text."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.acl import apply_rules, new_user
from proxy.address import Listen, Server
from proxy.config_file import load, loads
from proxy.config_text import SAMPLES, defaults, describe, describe_text, effective, to_yaml
from proxy.options import CLUSTER, HASHES, OPTIONS
from proxy.settings import MASK, ConfigError, Group, Limits, Pool, Reconnect, Secret, Settings, usable_cpus

CONFIG = Path(__file__).parent.parent / "config"
POOL = "pools:\n  cache:\n    listen: 127.0.0.1:6400\n    servers: [10.0.0.1:6379]\n"
NUTCRACKER = "alpha:\n  listen: 127.0.0.1:22121\n  redis: true\n"
SERVERS = "  servers:\n   - 127.0.0.1:6379:1\n"


def problems(text: str, environ: dict[str, str] | None = None) -> list[str]:
    """What is wrong with `text`, one line each, without the file's name."""
    with pytest.raises(ConfigError) as caught:
        loads(text, "f", environ or {})
    return [str(problem).removeprefix("f:") for problem in caught.value.problems]


def only_pool(text: str, environ: dict[str, str] | None = None) -> Pool:
    """The one pool of a good file."""
    (pool,) = loads(text, "f", environ or {}).pools
    return pool


def test_the_least() -> None:
    settings = loads(POOL)
    assert settings.engines == usable_cpus()
    assert settings.pools == (
        Pool(name="cache", listen=Listen("127.0.0.1", 6400), servers=(Server("10.0.0.1:6379"),)),
    )
    assert settings.pool("cache") is settings.pools[0]
    with pytest.raises(KeyError):
        settings.pool("other")


def test_everything() -> None:
    pool = only_pool(
        POOL
        + """
    hash: fnv1a_64
    hash_tag: "$$"
    colocate: {rq: ["rq:"], celery: [celery, "_kombu."]}
    distribution: modula
    timeout: none
    connect_timeout: 250ms
    backlog: 16
    preconnect: no
    tcpkeepalive: off
    password: "0123"
    node_username: quench
    node_password: 0123
    redis_db: 3
    client_connections: 0
    auto_eject: true
    server_failure_limit: 5
    server_retry_timeout: 2m
    reconnect: {first: 1ms, most: 1h}
    partial_mget: nil
    limits: {window: 8, output_soft: 2kb, output_hard: 3kb, query_buffer: 9kb, input_total: 5kb, backlog: 6kb,
             bulk: 7kb, max_bulk: 8kb, max_tombstones: 9, tombstone_age: 10s, max_blocked: 0, max_watching: 11}
"""
    )
    assert pool == Pool(
        name="cache", listen=Listen("127.0.0.1", 6400), servers=(Server("10.0.0.1:6379"),), hash="fnv1a_64",
        hash_tag="$$", colocate=(Group("rq", ("rq:",)), Group("celery", ("celery", "_kombu."))), distribution="modula",
        timeout=None, connect_timeout=0.25, backlog=16, preconnect=False,
        tcpkeepalive=False, password=Secret("0123"), node_username="quench", node_password=Secret("0123"), redis_db=3,
        client_connections=0, auto_eject=True, server_failure_limit=5, server_retry_timeout=120.0,
        reconnect=Reconnect(first=0.001, most=3600.0), partial_mget="nil",
        limits=Limits(
            window=8, output_soft=2048, output_hard=3072, query_buffer=9216, input_total=5120, backlog=6144,
            bulk=7168, max_bulk=8192, max_tombstones=9, tombstone_age=10.0, max_blocked=0, max_watching=11,
        ),
    )  # fmt: skip


def test_all_problems_at_once_with_their_places() -> None:
    text = """\
engine: 3
limits: {}
pools:
  cache:
    listn: 127.0.0.1:70000
    listen: 127.0.0.1:70000
    servers: [a, 10.0.0.1:6379, {address: "10.0.0.1:6379", wieght: 3}]
    timeout: 400
    timeout: 30
    hash: murmer
    window: 3
    limits: {windw: 1, bulk: 3, timeout: 1s}
    redis_auth: ${FOO}
  b: 7
  c:
    servers: []
"""
    assert problems(text) == [
        "1:1: engine: unknown key; did you mean engines?",
        "2:1: limits: is an option of a pool; move it under pools: NAME:",
        "5:5: pools.cache.listn: unknown option; did you mean listen?",
        "6:13: pools.cache.listen: a port is a number from 0 to 65535, got 70000",
        "7:15: pools.cache.servers[0]: expected host:port, got 'a'",
        "7:33: pools.cache.servers[2]: node 10.0.0.1:6379 is already there as [1]; delete one",
        "7:60: pools.cache.servers[2].wieght: unknown key; did you mean weight?",
        "8:14: pools.cache.timeout: a duration needs its unit; did you mean 400ms?",
        "9:5: pools.cache.timeout: occurs twice, first on line 8; keep one",
        "10:11: pools.cache.hash: 'murmer' is unknown; did you mean murmur?",
        "11:5: pools.cache.window: belongs under limits:",
        "12:14: pools.cache.limits.windw: unknown option; did you mean window?",
        "12:30: pools.cache.limits.bulk: a size needs its unit; did you mean 3mb?",
        "12:33: pools.cache.limits.timeout: belongs to the pool itself, one level up",
        "13:17: pools.cache.redis_auth: variable FOO is not set; set it, or write ${FOO:-default}",
        "14:6: pools.b: expected the options of a pool, got '7'",
        "15:3: pools.c.listen: is missing: where clients connect; port 0 is any free one; mode is octal, e.g. 0770",
        "16:14: pools.c.servers: expected a list of nodes like [10.0.0.1:6379], got an empty list",
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("timeout: 0ms", "5:14: pools.cache.timeout: 0s is too small; the least is 1ms"),
        ("timeout: ~", None),
        ("connect_timeout: none", "5:22: pools.cache.connect_timeout: this wait cannot be endless; write a duration "
         "like 400ms or 30s"),
        ("connect_timeout:", "5:21: pools.cache.connect_timeout: has no value; give it one or delete the key"),
        ("backlog: many", "5:14: pools.cache.backlog: expected a whole number, got 'many'"),
        ("redis_db: 16384", "5:15: pools.cache.redis_db: 16384 is too large; the most is 16383"),
        ("preconnect: maybe", "5:17: pools.cache.preconnect: expected true or false, got 'maybe'"),
        ("hash_tag: '{}x'", "5:15: pools.cache.hash_tag: expected two characters like \"{}\", got '{}x'"),
        ("hash_tag: {}", "5:15: pools.cache.hash_tag: expected two characters; write them in quotes: \"{}\""),
        ("backlog: 3000000000", "5:14: pools.cache.backlog: 3000000000 is too large; the most is 2147483647"),
        ("distribution: ketema", "5:19: pools.cache.distribution: 'ketema' is unknown; did you mean ketama?"),
        ("distribution: x", "5:19: pools.cache.distribution: 'x' is unknown; use one of ketama, modula, random"),
        ("hash: crc32", "5:11: pools.cache.hash: crc32 has 15 bits and ketama's ring 32, so one node would hold "
         "nearly every key; use murmur or crc32a"),
        ("reconnect: {first: 3s}", "5:24: pools.cache.reconnect.first: reconnect.first is larger than reconnect.most"),
        ("limits: {output_hard: 4kb}", "5:27: pools.cache.limits.output_hard: limits.output_soft is larger than "
         "limits.output_hard"),
        ("colocate: [rq]", "5:15: pools.cache.colocate: expected groups like {rq: [\"rq:\"]}, got a list"),
        ("colocate: {rq: 'rq:'}", "5:20: pools.cache.colocate.rq: expected a list of prefixes like [\"rq:\"], "
         "got 'rq:'"),
        ("colocate: {rq: []}", "5:20: pools.cache.colocate.rq: expected a list of prefixes like [\"rq:\"], got an "
         "empty list"),
        ("colocate: {rq: [rq: ]}", "5:21: pools.cache.colocate.rq[0]: expected a prefix; write it in quotes: \"rq:\""),
        ("colocate: {rq: ['a', '']}", "5:26: pools.cache.colocate.rq[1]: is empty, and every key begins with nothing; "
         "write how the keys begin"),
        ("colocate: {a: ['x'], b: ['y', 'x']}", "5:35: pools.cache.colocate.b[1]: 'x' is in group a; keep one of "
         "them"),
        ("colocate: {a: ['x', 'x']}", "5:25: pools.cache.colocate.a[1]: 'x' is in this group already; keep one of "
         "them"),
        ("colocate: {'': ['x']}", "5:16: pools.cache.colocate: a group needs a name: its keys live where a key of "
         "that name does"),
        ("colocate: {a: ['${A}']}", "5:20: pools.cache.colocate.a[0]: variable A is not set; set it, or write "
         "${A:-default}"),
        ("distribution: random\n    colocate: {a: [x]}", "6:15: pools.cache.colocate: has no effect with "
         "distribution: random, where any node is asked for any key; take one of them out"),
        ("limits: 3", "5:13: pools.cache.limits: expected the options of limits, got '3'"),
        ("password: ''", "5:15: pools.cache.password: is empty; give it a value or delete the key"),
        ("password: [a]", "5:15: pools.cache.password: expected one value, got a list"),
        ("password_file: /nonexistent/x", "5:20: pools.cache.password_file: cannot read /nonexistent/x: No such file "
         "or directory"),
        ("redis: true", "5:5: pools.cache.redis: unknown option; did you mean redis_db?"),
        ("<<: 3", "5:5: pools.cache: expected << to merge another mapping"),
        ("? [a]\n    : b", "5:7: pools.cache: expected a key, got a list"),
    ],
)  # fmt: skip
def test_one_problem(line: str, problem: str | None) -> None:
    if problem is None:
        only_pool(f"{POOL}    {line}\n")
    else:
        assert problems(f"{POOL}    {line}\n") == [problem]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1:1: is empty; it needs pools: with at least one pool"),
        ("- a\n", "1:1: expected pools: at the root, got a list"),
        ("engines: 2\n", "1:1: pools: is missing; it names the pools to serve"),
        ("pools: {}\n", "1:8: pools: expected NAME: {listen, servers} for each pool"),
        (POOL + "beta: {listen: a:1}\n", "5:1: beta: unknown key; at the root are engines and pools"),
        ("engines: 0\n" + POOL, "1:10: engines: 0 is too small; the least is 1"),
        ("engines: all\n" + POOL, "1:10: engines: expected auto or a whole number, got 'all'"),
        ("pools: {a: [}\n", "1:13: is not YAML: did not find expected node content"),
        ("a: 1\n---\nb: 2\n", "2:1: is not YAML: but found another document"),
        ("a: *b\n", "1:4: is not YAML: found undefined alias"),
        ("pools:\n  a b: {listen: a:1, servers: [b:1]}\n", "2:3: pools.a b: the name of a pool is one word"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole(text: str, problem: str) -> None:
    assert problems(text) == [problem]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yml"
    latin.write_bytes(b"pools:\n  a: \xff\n")
    for path, message in (
        (latin, f"{latin}:2:1: is not UTF-8 text; save it as UTF-8"),
        (tmp_path, f"{tmp_path}: cannot be read: Is a directory"),
        (tmp_path / "none", f"{tmp_path}/none: cannot be read: No such file or directory"),
    ):
        with pytest.raises(ConfigError) as caught:
            load(str(path))
        assert str(caught.value) == message


def test_pools_may_not_share_a_listener() -> None:
    text = "pools:\n  a: &a\n    listen: 127.0.0.1:6400\n    servers: [b:1]\n  c: *a\n"
    assert problems(text) == ["5:3: pools.c.listen: 127.0.0.1:6400 is pool a's; choose another"]
    assert len(loads(text.replace("6400", "0")).pools) == 2


def test_variables() -> None:
    text = POOL + "    password: a-${A}-${B:-b}-${C:-}-$D-$$\n    timeout: ${T:-3s}\n"
    pool = only_pool(text, {"A": "${B}", "C": "c"})
    assert pool.password == Secret("a-${B}-b-c-$D-$$")
    assert pool.timeout == 3.0
    assert only_pool(text, {"A": "", "T": "1ms"}).timeout == 0.001
    assert problems(text, {"A": "\udcff"}) == [
        "5:15: pools.cache.password: a variable in it is not UTF-8 text; set it again"
    ]


def test_anchors_and_merges() -> None:
    text = """\
pools:
  a: &base
    listen: 127.0.0.1:1
    servers: [x:1]
    timeout: 1s
    limits: &limits {window: 3}
  b: &b
    <<: *base
    listen: 127.0.0.1:2
    limits:
      <<: [*limits, {max_tombstones: 7, window: 9}]
  c:
    listen: 127.0.0.1:3
    <<: *b
"""
    first, second, third = loads(text).pools
    assert (second.listen.port, second.timeout, second.servers) == (2, 1.0, first.servers)
    assert second.limits == third.limits == Limits(window=3, max_tombstones=7)
    assert (third.listen.port, third.timeout, third.servers) == (3, 1.0, first.servers)


def test_a_file_that_contains_itself_is_only_wrong() -> None:
    assert problems("pools: &p\n  a: *p\n")
    assert problems("pools:\n  a: &p\n    <<: *p\n") == [
        "2:3: pools.a.listen: is missing: where clients connect; port 0 is any free one; mode is octal, e.g. 0770",
        "2:3: pools.a.servers: is missing: the nodes; the name, else the address exactly as written, decides which "
        "keys a node holds",
        "3:5: pools.a: expected << to merge another mapping",
    ]


def test_passwords(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("from-file\nnot this\n")
    assert only_pool(f"{POOL}    redis_auth: a").password == only_pool(f"{POOL}    redis_auth: a").node_password
    pool = only_pool(f"{POOL}    password_file: {file}\n    node_password: b\n")
    assert (pool.password, pool.node_password) == (Secret("from-file"), Secret("b"))
    assert problems(f"{POOL}    redis_auth: a\n    node_password: b\n") == [
        "6:20: pools.cache.node_password: node_password is already given by redis_auth; keep one of them"
    ]
    file.write_text("\n")
    assert problems(f"{POOL}    node_password_file: {file}\n") == [
        f"5:25: pools.cache.node_password_file: the first line of {file} is empty; write the password there"
    ]


def test_no_password_gets_out() -> None:
    settings = loads(POOL + "    redis_auth: hunter2\n    node_username: ann\n")
    shown = [repr(settings), to_yaml(effective(settings)), str(effective(settings))]
    assert not any("hunter2" in text for text in shown)
    assert effective(settings)["pools"]["cache"]["password"] == MASK
    again = loads(to_yaml(effective(settings)), "f")
    assert [str(warning) for warning in again.warnings] == [
        f"f:{line}:{column}: pools.cache.{key}: is the mask that quench config prints, not a password"
        for line, column, key in ((16, 15, "password"), (19, 20, "node_password"))
    ]


def test_a_node_without_points() -> None:
    servers = "    servers: [a:1:1, b:1:100000]\n"
    native = "pools:\n  cache:\n    listen: 127.0.0.1:6400\n" + servers
    message = "weight 1 of 100001 gives it no point, so no key; raise it"
    assert problems(native) == [f"4:15: pools.cache.servers[0]: {message}"]
    assert only_pool(native + "    distribution: modula\n").servers[0].weight == 1
    (warning,) = loads(NUTCRACKER + servers.replace("    s", "  s"), "f").warnings
    assert str(warning) == f"f:4:13: alpha.servers[0]: {message}"


def test_a_ring_that_cannot_be() -> None:
    heavy = ", ".join(f"a:{port}:2147483647" for port in range(1, 9))
    (problem,) = problems(f"pools:\n  cache:\n    listen: a:1\n    servers: [{heavy}]\n")
    assert problem.startswith("4:14: pools.cache.servers: the weights add up to 17179869176")


def test_one_mistake_does_not_hide_another() -> None:
    """What needs several options is checked even if others are wrong; a wrong one is not held against its partner."""
    text = POOL.replace("6379", "x") + "    hash: crc32\n"
    text += "    limits: {output_hard: 1, output_soft: 2gb, max_bulk: 2gb}\n"
    assert [problem.partition(": ")[2][:45] for problem in problems(text)] == [
        "pools.cache.servers[0]: expected host:port, g",
        "pools.cache.hash: crc32 has 15 bits and ketam",
        "pools.cache.limits.output_hard: a size needs ",
        "pools.cache.limits.max_bulk: limits.max_bulk ",
    ]


def test_warnings() -> None:
    text = POOL.replace("]", ", 10.0.0.2:6379]") + "    distribution: random\n    server_connections: 4\n"
    assert [str(warning) for warning in loads(text, "f").warnings] == [
        "f:5:19: pools.cache.distribution: random asks any node for any key; it is for nodes that all hold the same "
        "data",
        "f:6:25: pools.cache.server_connections: has no effect: an engine pipelines on one connection to a node; use "
        "engines: for more",
    ]


# nutcracker.yml


def test_twemproxy_defaults() -> None:
    pool = only_pool(NUTCRACKER + SERVERS)
    assert pool == Pool(
        name="alpha", listen=Listen("127.0.0.1", 22121), servers=(Server("127.0.0.1:6379"),), hash="fnv1a_64",
        timeout=None, preconnect=False, tcpkeepalive=False, client_connections=0, server_retry_timeout=30.0,
    )  # fmt: skip


def test_twemproxy_values() -> None:
    pool = only_pool(
        NUTCRACKER.replace("127.0.0.1:22121", "/tmp/gamma 0777")
        + "  hash: hsieh\n  hash_tag: '$$'\n  timeout: 400\n  redis_auth: ${X}\n  redis_db: 2\n"
        "  server_connections: 1\n  client_connections: 7\n  auto_eject_hosts: true\n  server_retry_timeout: 2000\n"
        "  server_failure_limit: 1\n  tcpkeepalive: true\n  preconnect: true\n  backlog: 1024\n" + SERVERS
    )
    assert pool.listen == Listen(path="/tmp/gamma", mode=0o777)
    assert (pool.timeout, pool.connect_timeout, pool.server_retry_timeout) == (0.4, 0.4, 2.0)
    assert pool.password == pool.node_password == Secret("${X}")
    assert (pool.auto_eject, pool.server_failure_limit, pool.preconnect, pool.tcpkeepalive) == (True, 1, True, True)
    assert (pool.hash, pool.hash_tag, pool.redis_db, pool.client_connections) == ("hsieh", "$$", 2, 7)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("alpha:\n  listen: 127.0.0.1:22121\n" + SERVERS, "1:1: alpha.redis: is not true, so this is a memcached pool, "
         "which Quench does not speak; take the pool out, or write redis: true (in a native file: put the pools under "
         "pools:)"),
        (NUTCRACKER.replace("true", "false") + SERVERS, "3:10: alpha.redis: is not true, so this is a memcached pool, "
         "which Quench does not speak; take the pool out, or write redis: true (in a native file: put the pools under "
         "pools:)"),
        (NUTCRACKER + "  timeout: 400ms\n" + SERVERS, "4:12: alpha.timeout: expected a whole number of milliseconds, "
         "got '400ms'"),
        (NUTCRACKER + "  tiemout: 400\n" + SERVERS, "4:3: alpha.tiemout: unknown option; did you mean timeout?"),
        (NUTCRACKER + "  limits: {window: 3}\n" + SERVERS, "4:3: alpha.limits: is not an option of twemproxy's; to use "
         "it, put the pools of this file under pools:"),
    ],
)  # fmt: skip
def test_twemproxy_files_that_are_wrong(text: str, problem: str) -> None:
    assert problems(text) == [problem]


def test_what_harms_is_only_warned_about() -> None:
    (warning,) = loads(NUTCRACKER + "  hash: crc32\n" + SERVERS, "f").warnings
    assert str(warning).startswith("f:4:9: alpha.hash: crc32 has 15 bits")


TWEMPROXY_FILES = [
    "", "  hash: crc32\n", "  hash: FNV1A_64\n", "  distribution: random\n", "  distribution: modula\n",
    "  timeout: 0\n", '  timeout: "400"\n', "  timeout: 400000000000\n", "  timeout: ~\n", "  timeout: 5s\n",
    "  server_failure_limit: 0\n", "  backlog: 0\n", "  client_connections: 0\n", "  server_connections: 4\n",
    "  server_retry_timeout: 0\n", "  redis_auth: 0123\n", '  redis_auth: a b "c\n', "  redis_db: 15\n",
    '  hash_tag: "{}"\n', "  hash_tag: $$\n", "  hash_tag: '${'\n", "  preconnect: yes\n", "  tcpkeepalive: true\n",
    "  auto_eject_hosts: true\n", "  nonsense: 1\n",
    *(f"  hash: {hash_}\n" for hash_ in HASHES),
]  # fmt: skip
TWEMPROXY_SERVERS = [
    ["127.0.0.1:6379:1"], ["127.0.0.1:6379:1 a", "127.0.0.1:6380:2 b"], ["127.0.0.1:6379:1", "127.0.0.1:6380:100000"],
    ["::1:6379:1"], ["/tmp/x:1", "/tmp/y:1 foo"], ["127.0.0.1:06379:01"], ["nosuch.invalid:6379:1"], ["a:6379:1 a:b"],
    ["cache:11211:1", "cache:6379:1"], ["cache:11211:1", "b:6379:1 cache"], ["a:1:1", "a:1:2"], ["a:1:0"], ["a:1"],
    ["${X}:6379:1"],
]  # fmt: skip
TWEMPROXY_WHOLE = [
    NUTCRACKER.replace("127.0.0.1:22121", listen) + SERVERS
    for listen in ("/tmp/gamma", "/tmp/gamma 0777", "/tmp/gamma 666", "localhost:22121", "::1:22121", "0.0.0.0:1")
] + [NUTCRACKER.replace("alpha", name) + SERVERS for name in ("pools", "engines", '"a b"', "listen")]


@pytest.mark.skipif(shutil.which("nutcracker") is None, reason="nutcracker (twemproxy) is not installed")
def test_what_twemproxy_accepts_is_accepted(tmp_path: Path) -> None:
    """Its own judgement (`nutcracker -t`) on each file against ours."""
    texts = [NUTCRACKER + extra + SERVERS for extra in TWEMPROXY_FILES] + TWEMPROXY_WHOLE
    for servers in TWEMPROXY_SERVERS:
        texts.append(NUTCRACKER + "  servers:\n" + "".join(f"   - {server}\n" for server in servers))
    accepted = 0
    for text in texts:
        file = tmp_path / "nutcracker.yml"
        file.write_text(text)
        log = tmp_path / "log"
        verdict = subprocess.run(["nutcracker", "-t", "-c", file, "-o", log], capture_output=True, check=False)
        if verdict.returncode == 0:
            accepted += 1
            assert loads(text, "f").pools, text
    assert accepted > 40


# Samples, and the way back to text.


@pytest.mark.parametrize("name", sorted(path.name for path in CONFIG.glob("*.yml")))
def test_samples_load_without_a_warning(name: str) -> None:
    settings = load(str(CONFIG / name), {})
    assert settings.pools and not settings.warnings
    assert effective(loads(to_yaml(effective(settings)))) == effective(settings)


def test_the_samples_are_there() -> None:
    samples = {"minimal.yml", "quench.yml", "redis.yml", "nutcracker.yml", "applications.yml", "cluster.yml"}
    assert samples <= {path.name for path in CONFIG.glob("*.yml")}


def test_the_sample_of_every_option_is_current() -> None:
    assert (CONFIG / "quench.yml").read_text() == defaults(), "run: quench config --defaults > config/quench.yml"


def test_each_commented_default_is_the_default() -> None:
    """Take away one # at a time (and its group's): where the option has a default nothing changes."""
    lines = defaults().splitlines()
    base = effective(loads(defaults()))
    group, tried = -1, []
    for number, line in enumerate(lines):
        key = line.strip().removeprefix("#").partition(":")[0]
        if not line.strip().startswith("#") or line.strip().startswith("# ") or line.startswith("# "):
            continue
        changed = list(lines)
        indent = len(line) - len(line.lstrip())
        if line.endswith(":"):
            group = number
            continue
        if indent == 6:
            changed[group] = changed[group].replace("#", "", 1)
        changed[number] = line.replace("#", "", 1)
        if key not in SAMPLES:
            tried.append(key)
            assert effective(loads("\n".join(changed), "f", {})) == base, line
    with_default = [option for option in OPTIONS if option.where != "nutcracker" and option.key not in SAMPLES]
    assert len(tried) == len(with_default) + 1  # and engines


def test_describe_names_every_option() -> None:
    rows = describe()
    assert len(rows) == len(OPTIONS) + 1
    page = describe_text()
    assert all(row["option"] in page and row["help"] for row in rows)
    assert "default 5s (nutcracker.yml: none)" in page


WORDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-.", min_size=1, max_size=12)
DURATIONS = st.integers(1_000, 10**12).map(lambda microseconds: microseconds / 1_000_000)


USERS = st.builds(
    lambda name, rules, scripts: replace(apply_rules(new_user(f"u-{name}"), ["nopass", *rules]), scripts=scripts),
    WORDS,
    st.lists(st.sampled_from(["on", "~*", "%W~*", "&b", "+get", "-@write", "(+@read ~x)", "+@all"]), max_size=3).filter(
        lambda rules: not {"~*", "%W~*"} <= set(rules)
    ),
    st.booleans(),
)  # fmt: skip


def groups() -> st.SearchStrategy[tuple[Group, ...]]:
    """Up to three groups, no prefix twice."""
    prefixes = st.lists(st.text("ab:_.é '\"{", min_size=1, max_size=4), max_size=6, unique=True)
    return st.builds(
        lambda names, prefixes: tuple(
            Group(name, part) for number, name in enumerate(names)
            if (part := tuple(prefixes[number :: len(names)]))
        ),
        st.lists(WORDS, max_size=3, unique=True), prefixes,
    )  # fmt: skip


def pools(names: st.SearchStrategy[str]) -> st.SearchStrategy[Pool]:
    """Any pool that a native file can hold; servers have distinct names and one weight, so each has its points."""
    values: dict[str, st.SearchStrategy[Any]] = {
        "users": st.lists(USERS, max_size=3, unique_by=lambda user: user.name).map(tuple),
        "flag": st.booleans(), "text": st.none() | WORDS, "secret": st.none() | WORDS.map(Secret),
        "tag": st.none() | st.text("{}[]$<>'\"#:ab", min_size=2, max_size=2), "groups": groups(),
        "addresses": st.just(()),
    }  # fmt: skip

    def value(key: str) -> st.SearchStrategy[Any]:
        option = next(option for option in OPTIONS if option.key == key)
        if option.choices:
            return st.sampled_from([choice for choice in option.choices if choice != "crc32"])
        if option.kind == "duration":
            durations = DURATIONS.filter(lambda seconds: seconds >= option.least)
            return st.none() | durations if option.endless else durations
        if option.kind in ("count", "percent"):
            numbers = st.integers(int(option.least), int(min(option.most, (1 << 31) - 1)))
            return st.none() | numbers if option.nullable else numbers
        return values[option.kind]

    own = {option.key: value(option.key) for option in OPTIONS if option.key not in (*CLUSTER, "failover")
           and option.sets is None and not option.group and not option.required}  # fmt: skip
    sizes = st.lists(st.integers(1024, 1 << 40), min_size=7, max_size=7).map(sorted)
    limits = st.builds(
        lambda sizes, window, tombstones, age: Limits(
            window=window, output_soft=sizes[0], output_hard=sizes[1], bulk=sizes[2], max_bulk=sizes[3],
            query_buffer=sizes[4], input_total=sizes[5], backlog=sizes[6], max_tombstones=tombstones,
            tombstone_age=age,
        ),
        sizes, st.integers(1, 1 << 20), st.integers(1, 1 << 20), DURATIONS,
    )  # fmt: skip
    reconnect = st.lists(DURATIONS, min_size=2, max_size=2).map(lambda two: Reconnect(first=min(two), most=max(two)))
    listen = st.builds(Listen, WORDS, st.just(0)) | st.builds(Listen, st.just("::1"), st.just(0))
    servers = st.builds(
        lambda hosts, weight, replicas: tuple(
            Server(f"{host}:6379", weight, f"{host}-{index}", tuple(
                Server(f"replica{number}:{index + 1}", 1, host if number == 1 else None) for number in range(replicas)))
            for index, host in enumerate(hosts)),
        st.lists(WORDS, min_size=1, max_size=5), st.integers(1, 1000), st.integers(0, 2),
    )  # fmt: skip
    built = st.builds(Pool, name=names, listen=listen, servers=servers, reconnect=reconnect, limits=limits, **own)

    def allowed(pool: Pool) -> Pool:
        replicas = any(server.replicas for server in pool.servers)
        few = len(pool.servers) < 3
        if pool.timeout is None or pool.auto_eject or replicas or few or pool.distribution == "random":
            pool = replace(pool, replication="node")
        return replace(pool, colocate=()) if pool.distribution == "random" else pool

    return built.map(allowed)


@effort(deadline=None, max_examples=60)
@given(st.integers(1, 256), st.lists(pools(WORDS), min_size=1, max_size=3, unique_by=lambda pool: pool.name))
def test_the_effective_configuration_is_a_fixed_point(engines: int, some: list[Pool]) -> None:
    settings = Settings(engines=engines, pools=tuple(some))
    document = effective(settings)
    again = loads(to_yaml(document), "f", {})
    assert effective(again) == document
    assert yaml.safe_load(to_yaml(document)) == document
    masked = [pool.password or pool.node_password for pool in some]
    assert any(masked) or again.pools == settings.pools


PIECES = [
    "pools", "cache", "listen", "servers", "limits", "redis", "timeout", "a:1", "a:1:2 n", "5s", "1mb", "400", "~",
    "&a", "*a", "<<", ": ", "\n", "\n  ", "\n    ", "- ", "{", "}", "[", "]", ",", "'", '"', "${A}", "#", "\t", "é",
    "\0", "!!str ", "---\n", "?", "|", "\u2028",
]  # fmt: skip


@effort(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join), st.integers(0, 3))
def test_nothing_but_config_error_escapes(noise: str, form: int) -> None:
    text = (noise, POOL + "    " + noise, NUTCRACKER + "  " + noise + SERVERS, POOL.replace("cache:", noise))[form]
    try:
        assert loads(text, "f", {"A": "\udcff"}).pools
    except ConfigError as error:
        assert error.problems and all(problem.message for problem in error.problems)


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000, "a: 1\n" * 3 + "&x [*x]: *x\n"])
def test_a_file_made_to_hurt(text: str) -> None:
    assert problems(text)


def test_the_environment_is_the_process_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUENCH_TEST_PASSWORD", "p")
    file = tmp_path / "f.yml"
    file.write_text(POOL + "    password: ${QUENCH_TEST_PASSWORD}\n")
    assert os.environ["QUENCH_TEST_PASSWORD"] == "p"
    assert load(str(file)).pools[0].password == Secret("p")

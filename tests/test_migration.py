"""From Envoy's and predixy's files to one that loads, with a word for everything that does not carry over."""

import json
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy import config_envoy, config_predixy
from proxy.cli import cli
from proxy.config_file import loads
from proxy.migration import Migration
from proxy.placement import placement
from proxy.settings import ConfigError, Secret
from tests.oracle.hashes import crc16

DATA = Path(__file__).parent / "data" / "migration"
ENVOY = (DATA / "envoy.yaml").read_text()
PREDIXY = (DATA / "predixy.conf").read_text()


def predixy(text: str) -> Migration:
    return config_predixy.convert(text, "p.conf", lambda path: (DATA / path).read_text())


def bootstrap(**changes: Any) -> dict[str, Any]:
    """The least Envoy file, with parts of its cluster, filter or settings replaced."""
    cluster = {
        "name": "c", "lb_policy": "RING_HASH", "connect_timeout": "1s",
        "load_assignment": {"endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": {"socket_address": {"address": "10.0.0.1", "port_value": port}}}}
            for port in (6379, 6380)
        ]}]},
    }  # fmt: skip
    routes = {"catch_all_route": {"cluster": "c"}}
    proxy: dict[str, Any] = {"stat_prefix": "s", "settings": {"op_timeout": "1s"}, "prefix_routes": routes}
    cluster |= changes.pop("cluster", {})
    proxy |= changes.pop("proxy", {})
    filters = [{"name": config_envoy.FILTER, "typed_config": proxy}]
    address = {"socket_address": {"address": "::", "port_value": 6400}}
    listener = {"name": "l", "address": address, "filter_chains": [{"filters": filters}]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}} | changes


def envoy(**changes: Any) -> Migration:
    return config_envoy.convert(yaml.safe_dump(bootstrap(**changes)))


# -- Envoy ------------------------------------------------------------------------------------------------------------


def test_envoy() -> None:
    cache, batch = loads(config_envoy.convert(ENVOY).text("envoy.yaml")).pools
    assert (cache.name, str(cache.listen), cache.backlog) == ("egress-cache", "0.0.0.0:6379", 1024)
    assert [str(server) for server in cache.servers] == [
        "cache-1.internal:6379:1", "cache-2.internal:6379:2", "[fd00::3]:6379:1",
    ]  # fmt: skip
    assert (cache.timeout, cache.connect_timeout, cache.hash_tag, cache.auto_eject) == (0.25, 1.0, "{}", True)
    assert (cache.password, cache.node_password) == (Secret("open-sesame"), Secret("hunter2"))
    assert cache.node_username == "proxy"
    assert (cache.distribution, cache.hash) == ("ketama", "murmur")
    assert (str(batch.listen), batch.timeout, batch.connect_timeout) == ("/run/batch.sock 0660", 5.0, 0.5)
    assert len(batch.servers) == 1


def test_envoy_leaves_nothing_unsaid() -> None:
    """Every key of the file is carried over or named, and what moves keys or opens doors comes first."""
    migration = config_envoy.convert(ENVOY)
    alarms, notes = "\n".join(migration.alarms), "\n".join(migration.notes)
    for word in ("KEYS MOVE", "MAGLEV", "'session:'", "'old:'", "priority 1", "downstream_auth_passwords[1]",
                 "downstream_auth_username", "WITHOUT A PASSWORD EVERYBODY IS LET IN", "TLS"):  # fmt: skip
        assert word in alarms, word
    for word in ("read_policy: PREFER_REPLICA", "enable_redirection", "enable_command_stats", "buffer_flush_timeout",
                 "max_buffer_size_before_flush", "request_mirror_policy", "op_timeout", "health_checks", "faults",
                 "maglev_lb_config", "ring_hash_lb_config", "latency_in_micros", "per_connection_buffer_limit_bytes",
                 "listener web", "cluster shadow", "admin", "layered_runtime"):  # fmt: skip
        assert word in notes, word


def test_envoy_in_json_and_camel_case() -> None:
    text = json.dumps(yaml.safe_load(ENVOY))
    assert config_envoy.convert(text).pools == config_envoy.convert(ENVOY).pools
    for name in ("prefix_routes", "catch_all_route", "stat_prefix", "op_timeout", "port_value", "socket_address",
                 "load_assignment", "lb_endpoints", "static_resources", "typed_config", "filter_chains", "lb_policy",
                 "enable_hashtagging", "inline_string"):  # fmt: skip
        head, *tail = name.split("_")
        text = text.replace(f'"{name}"', f'"{head}{"".join(map(str.capitalize, tail))}"')
    assert "staticResources" in text
    assert config_envoy.convert(text).pools == config_envoy.convert(ENVOY).pools


def test_what_envoy_has_and_nobody_knows_is_a_note() -> None:
    migration = envoy(
        proxy={"settings": {"op_timeout": "2s", "brand_new": 1}, "later": {"a": 1}}, cluster={"x_y": []}, bin=3
    )
    assert set(migration.notes) >= {
        "listener l, redis_proxy.settings.brand_new: has no counterpart", "cluster c.x_y: has no counterpart",
        "listener l, redis_proxy.later: has no counterpart", "bin: has no counterpart",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "nodes", "distribution", "moves"),
    [("RING_HASH", 2, "ketama", True), ("MAGLEV", 2, "ketama", True), ("RING_HASH", 1, "ketama", False),
     (None, 1, "ketama", False), (None, 2, "random", False), ("LEAST_REQUEST", 2, "random", False)],
)  # fmt: skip
def test_envoy_placement(policy: str | None, nodes: int, distribution: str, moves: bool) -> None:
    document = bootstrap(cluster={"lb_policy": policy})
    endpoints = document["static_resources"]["clusters"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"]
    del endpoints[nodes:]
    migration = config_envoy.convert(yaml.safe_dump(document))
    assert loads(migration.text("e")).pools[0].distribution == distribution
    assert any("KEYS MOVE" in alarm for alarm in migration.alarms) == moves
    assert bool(migration.alarms) == (nodes > 1)


def test_envoy_passwords(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("from-file\n")
    options = {config_envoy.FILTER: {"auth_password": {"environment_variable": "NODE_PASSWORD"}, "aws_iam": {"a": 1}}}
    migration = envoy(
        proxy={"downstream_auth_password": {"filename": str(file)}},
        cluster={"typed_extension_protocol_options": options},
    )
    pool = loads(migration.text("e"), environ={"NODE_PASSWORD": "from-env"}).pools[0]
    assert (pool.password, pool.node_password) == (Secret("from-file"), Secret("from-env"))
    assert any("aws_iam" in note for note in migration.notes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cluster": {"type": "EDS"}}, "no pool can be made of it: cluster c: the cluster is of type EDS: its nodes"),
        ({"cluster": {"cluster_type": {"name": "envoy.clusters.redis"}}}, "Redis Cluster is not spoken"),
        ({"cluster": {"load_assignment": None}}, "the cluster has no endpoints"),
        ({"cluster": {"name": "d"}}, "cluster 'c' is not among static_resources.clusters"),
        ({"proxy": {"settings": {"op_timeout": "soon"}}}, "op_timeout: expected a duration like 0.25s, got 'soon'"),
        ({"proxy": {"downstream_auth_password": {"inline_string": "a${B}"}}}, "the password holds"),
        ({"static_resources": {"listeners": [{"name": "l"}]}}, "listener l.address: expected socket_address"),
        ({"static_resources": {}}, "no listener has an envoy.filters.network.redis_proxy filter"),
    ],
)
def test_envoy_files_that_give_no_pool(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]*$") as caught:
        envoy(**changes)
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "- a", "a: [", "[" * 2000, "a: 1\n---\nb: 2\n"])
def test_what_is_no_envoy_file(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        config_envoy.convert(text)


def test_a_comment_cannot_break_out() -> None:
    migration = envoy(**{"evil\npools: {}": 1, "more\u2028engines: 9": 2, "\x85x": 3})
    assert len(migration.notes) == 4
    assert loads(migration.text("a\nb: 1")).pools[0].name == "s"


def native(text: str) -> bool:
    """Pools and nothing else at the root, and no exception but the one with all problems, which are warnings then."""
    with suppress(ConfigError):
        loads(text, environ={"A": "a"})
    return set(yaml.safe_load(text)) <= {"engines", "pools"}


LEAVES = st.none() | st.booleans() | st.integers(-5, 70000) | st.sampled_from(
    ["", "a", "1s", "c", "10.0.0.1", "RING_HASH", "x\ny", config_envoy.FILTER, "${A}", "\u2028"]
)  # fmt: skip
JSONS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["address", "name", "?"]), inner),
    max_leaves=6,
)  # fmt: skip


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_a_damaged_envoy_file_loads_or_is_a_value_error(data: st.DataObject) -> None:
    document = yaml.safe_load(ENVOY)
    for _ in range(data.draw(st.integers(1, 3))):
        here: Any = document
        while True:
            keys = sorted(here, key=str) if isinstance(here, dict) else range(len(here))
            if not keys:
                break
            key = data.draw(st.sampled_from(list(keys)))
            if isinstance(here[key], dict | list) and here[key] and data.draw(st.integers(0, 5)):
                here = here[key]
            else:
                here[key] = data.draw(JSONS)
                break
    try:
        migration = config_envoy.convert(json.dumps(document))
    except ValueError as error:
        assert str(error)
    else:
        assert native(migration.text("e"))


# -- predixy ----------------------------------------------------------------------------------------------------------


def test_predixy() -> None:
    migration = predixy(PREDIXY)
    settings_ = loads(migration.text("predixy.conf"))
    (pool,) = settings_.pools
    assert (settings_.engines, pool.name, str(pool.listen)) == (4, "shop-cache", "127.0.0.1:7617")
    assert [str(server) for server in pool.servers] == [f"10.2.3.{n}:6379:1 shard00{n}" for n in (1, 2, 3, 4)]
    assert (pool.password, pool.node_password) == (Secret("#a complex password#"), Secret('node"s #1'))
    assert (pool.timeout, pool.server_failure_limit, pool.server_retry_timeout) == (1.0, 10, 0.5)
    assert (pool.hash, pool.distribution, pool.hash_tag, pool.tcpkeepalive) == ("crc16", "modula", "{}", True)
    said = "\n".join(migration.notes + migration.alarms)
    for word in ("MaxMemory", "ClientTimeout", "LogRotate", "LogInfoSample", "LatencyMonitor", "Databases", "KeepAlive",
                 "MasterReadPriority", "StaticSlaveReadPriority", "10.2.3.11:6379 is a replica",
                 "every key stays"):  # fmt: skip
        assert word in said, word
    assert [alarm.partition(":")[2].partition(":")[0] for alarm in migration.alarms] == ["2", "9"]


def group_file(count: int, extra: str = "", hash_: str = "crc16", name: str = "g{:02}") -> str:
    groups = "".join(f"  Group {name.format(n)} {{\n    + 10.0.0.{n + 1}:6379\n  }}\n" for n in range(count))
    return f"StandaloneServerPool {{\n  Hash {hash_}\n  Distribution modula\n{extra}{groups}}}\n"


@pytest.mark.parametrize("name", ["g{:02}", "{0}", "z{0}-of-many", "grün{0}"])
@pytest.mark.parametrize("count", [1, 2, 4, 8, 16])
def test_predixy_keys_stay_where_they_are(count: int, name: str) -> None:
    """predixy's rule, computed apart: the CRC of 16 bits modulo the groups, in the order of the file."""
    migration = predixy(group_file(count, name=name))
    assert not migration.alarms
    (pool,) = loads(migration.text("p")).pools
    ring = placement(pool)
    chance = random.Random(count)
    for _ in range(300):
        key = chance.randbytes(chance.randrange(0, 30))
        home = pool.servers[ring.node(key)]
        assert home.address == f"10.0.0.{(crc16(key) & 0xFFFF) % count + 1}:6379"


def test_predixy_with_three_groups_would_differ() -> None:
    """Why a power of two is asked for: twemproxy's crc16 has more than 16 bits."""
    assert any((crc16(b"key:%d" % n) & 0xFFFF) % 3 != crc16(b"key:%d" % n) % 3 for n in range(50))
    for text in (group_file(3), group_file(4, hash_="atol")):
        migration = predixy(text)
        assert "KEYS MOVE" in migration.alarms[0]
        assert loads(migration.text("p")).pools[0].distribution == "ketama"


def test_predixy_sentinel() -> None:
    text = group_file(2).replace("Standalone", "Sentinel").replace(
        "  Hash", "  Sentinels sent-pw {\n    + 10.0.0.9:26379\n  }\n  ServerTimeout 0\n  Hash"
    )
    migration = predixy(text)
    (alarm,) = migration.alarms
    assert "Sentinel is not followed" in alarm
    assert loads(migration.text("p")).pools[0].timeout == 5.0
    with pytest.raises(ValueError, match=r"p.conf:8: Group g00 lists no server; .* GET-MASTER-ADDR-BY-NAME g00 gives"):
        predixy(text.replace("    + 10.0.0.1:6379\n", ""))


@pytest.mark.parametrize(
    ("authority", "password", "alarms"),
    [
        ("", None, []),
        ("Auth {\nMode write\n}\n", None, []),
        ("Auth {\nMode write\n}\nAuth x {\nMode admin\n}\n", None, ["as clients without one may write"]),
        ("Auth x {\nMode admin\n}\nAuth y {\nMode write\n}\n", "x", ["clients with it are not let in"]),
        ("Auth {\nMode read\n}\nAuth y {\nMode write\n}\n", "y", ["is not let in any more"]),
        ("Auth y {\nMode read\nKeyPrefix a b\n}\n", "y", ["AND MAY DO EVERYTHING"]),
        ("Auth {\nMode read\n}\n", None, ["EVERYBODY MAY DO EVERYTHING"]),
    ],
)
def test_predixy_authority(authority: str, password: str | None, alarms: list[str]) -> None:
    migration = predixy(group_file(1) + f"Authority {{\n{authority}}}\n")
    (pool,) = loads(migration.text("p")).pools
    assert pool.password == (password and Secret(password))
    assert len(migration.alarms) == len(alarms)
    assert all(word in alarm for word, alarm in zip(alarms, migration.alarms, strict=True))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "p.conf: expected one server pool, found 0"),
        (group_file(1) * 2, "p.conf: expected one server pool, found 2"),
        ("ClusterServerPool {\n  Servers {\n    + a:1\n  }\n}\n", "p.conf:1: ClusterServerPool: Redis Cluster is not"),
        ("StandaloneServerPool {\n}\n", "p.conf:1: StandaloneServerPool has no Group"),
        ("StandaloneServerPool {\n", "p.conf:1: the brace of StandaloneServerPool is never closed"),
        ("}\n", "p.conf:1: this brace closes nothing"),
        ('Name "a\n', "p.conf:1: expected a value in quotes"),
        ("Include none.conf\n", "p.conf:1: cannot read none.conf: No such file"),
        ("WorkerThreads many\n", "p.conf:1: WorkerThreads: expected a whole number, got 'many'"),
        (group_file(1, "  ServerTimeout 1h\n"), "p.conf:4: ServerTimeout: expected a duration like 1 or 500ms"),
        (group_file(1).replace(":6379", ""), "p.conf:4: expected host:port, got '10.0.0.1'"),
        ("Bind 7617\n" + group_file(1), "p.conf: Bind: expected host:port"),
    ],
)
def test_predixy_files_that_are_wrong(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]*$") as caught:
        predixy(text)
    assert str(caught.value).startswith(message)


def test_what_predixy_has_and_nobody_knows_is_a_note() -> None:
    migration = predixy("Flavour mint\n" + group_file(2, "  Speed 9\n  Password p\n").replace("+ ", "+ q@", 1))
    assert "p.conf:1: Flavour: has no counterpart" in migration.notes
    assert "p.conf:5: Speed: has no counterpart" in migration.notes
    assert any("a password of its own" in alarm for alarm in migration.alarms)


@settings(deadline=None, max_examples=200)
@given(lines=st.lists(st.sampled_from([*PREDIXY.splitlines(), "}", "{", 'x "', "Group a {", "+ b:1"]), max_size=40))
def test_any_predixy_lines_load_or_are_a_value_error(lines: list[str]) -> None:
    try:
        text = predixy("\n".join(lines)).text("p")
    except ValueError as error:
        assert str(error).startswith("p")
    else:
        assert native(text)


# -- the command line -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("flag", "name"), [("--from-envoy", "envoy.yaml"), ("--from-predixy", "predixy.conf")])
def test_what_is_printed_passes_the_check(flag: str, name: str, tmp_path: Path) -> None:
    made = CliRunner().invoke(cli, ["config", flag, str(DATA / name)])
    assert (made.exit_code, made.stderr) == (0, "")
    assert made.stdout.startswith("# Made from ")
    checked = CliRunner().invoke(cli, ["check", "-"], input=made.stdout)
    assert (checked.exit_code, checked.stderr) == (0, "")


def test_trouble_is_one_line(tmp_path: Path) -> None:
    def run(*args: str) -> tuple[int, str]:
        result = CliRunner().invoke(cli, ["config", *args])
        assert result.stdout == ""
        return result.exit_code, result.stderr

    (tmp_path / "p").write_text("}\n")
    for args, message in (
        (("--from-envoy", "/nonexistent"), "/nonexistent: cannot be read: No such file or directory"),
        (("--from-predixy", str(tmp_path / "p")), f"{tmp_path}/p:1: this brace closes nothing"),
        (("--from-envoy", str(tmp_path / "p")), f"{tmp_path}/p: is not YAML or JSON: "),
    ):
        status, said = run(*args)
        assert status == 78 and said.startswith(f"quench: {message}") and said.count("\n") == 1
    assert run("--from-envoy", "a", "--defaults")[0] == run("--from-envoy", "a", "b.yml")[0] == 2


def test_what_this_machine_lacks_is_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "e.json"
    file.write_text(json.dumps(bootstrap(proxy={"downstream_auth_password": {"environment_variable": "NOT_SET_HERE"}})))
    result = CliRunner().invoke(cli, ["config", "--from-envoy", str(file)])
    assert result.exit_code == 0 and "password: ${NOT_SET_HERE}" in result.stdout
    assert "warning: <output>:" in result.stderr and "variable NOT_SET_HERE is not set" in result.stderr

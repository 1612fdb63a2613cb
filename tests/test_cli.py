"""The command line: verbs, spellings, exit statuses, one line for a user's mistake."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from proxy.cli import LANES, _node_ready, cli
from proxy.commands import Lane
from proxy.config_text import defaults
from proxy.options import OPTIONS

ROOT = Path(__file__).parent.parent
MINIMAL = str(ROOT / "config" / "minimal.yml")
NUTCRACKER = str(ROOT / "config" / "nutcracker.yml")
VERBS = {"run", "check", "config", "route", "commands", "node", "demo"}


def quench(*args: str, **env: str) -> Result:
    """Run the command line in this process, with no QUENCH_* variable but those given."""
    clean: dict[str, str | None] = {name: None for name in os.environ if name.startswith("QUENCH_")}
    return CliRunner().invoke(cli, args, prog_name="quench", env=clean | env, catch_exceptions=False)


@pytest.fixture
def broken(tmp_path: Path) -> str:
    """A file with two problems."""
    file = tmp_path / "broken.yml"
    file.write_text("pools:\n  a:\n    listen: 127.0.0.1:1\n    servers: [b]\n    timeout: 400\n")
    return str(file)


class Calls(list[tuple[str, tuple[Any, ...], dict[str, Any]]]):
    """What the command line asked the started modules to do."""

    outcome: int | Exception = 0


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The long-running modules replaced by recorders: these tests are about what the command line hands them."""
    calls = Calls()

    def recorder(name: str) -> Any:
        def call(*args: Any, **options: Any) -> int:
            calls.append((name, args, options))
            if isinstance(calls.outcome, Exception):
                raise calls.outcome
            return calls.outcome

        return call

    for name, functions in (("proxy.app", ("run",)), ("proxy.demo", ("demo",)), ("storenode.server", ("run",))):
        module = ModuleType(name)
        for function in functions:
            setattr(module, function, recorder(f"{name}.{function}"))
        monkeypatch.setitem(sys.modules, name, module)
    return calls


def test_help_fits_one_screen_and_ends_with_an_example() -> None:
    for verb in ("", *VERBS):
        result = quench(*verb.split(), "--help")
        lines = result.stdout.rstrip().splitlines()
        assert result.exit_code == 0
        assert len(lines) <= 24 and max(map(len, lines)) <= 100
        assert "..." not in result.stdout, "a summary was cut off"
        assert lines[-1].startswith("  Example:  quench ")
    assert set(cli.commands) >= VERBS


def test_no_arguments_is_a_question() -> None:
    result = quench()
    assert result.exit_code == 2 and "Usage: quench" in result.stderr


def test_version_is_enough_for_a_bug_report() -> None:
    for flag in ("--version", "-V"):
        result = quench(flag)
        assert result.exit_code == 0
        assert result.stdout.startswith("quench ") and result.stdout.count("\n") == 1
        assert all(word in result.stdout for word in ("python 3.", "trio ", "linux "))


@pytest.mark.parametrize(
    "args",
    [("check",), ("check", "-c"), ("check", "--conf-file"), ("check", "-t", "-c"), ("-t",), ("-t", "-c"),
     ("-t", "--conf-file"), ("--test-conf", "-c")],
)  # fmt: skip
def test_check(args: tuple[str, ...], broken: str) -> None:
    good = quench(*args, MINIMAL)
    assert (good.exit_code, good.stderr) == (0, "")
    assert good.stdout.startswith(f"{MINIMAL}: ok: 1 pool, 2 nodes, engines: ")
    bad = quench(*args, broken)
    assert (bad.exit_code, bad.stdout) == (78, "")
    assert bad.stderr.splitlines() == [
        f"{broken}:4:15: pools.a.servers[0]: expected host:port, got 'b'",
        f"{broken}:5:14: pools.a.timeout: a duration needs its unit; did you mean 400ms?",
    ]


def test_check_reads_stdin() -> None:
    text = Path(MINIMAL).read_text()
    result = CliRunner().invoke(cli, ["check", "-"], input=text.replace("servers", "server"))
    assert result.exit_code == 78
    assert result.stderr.splitlines()[0] == (
        "<stdin>:3:3: pools.cache.servers: is missing: the nodes; the name, else the address exactly as written, "
        "decides which keys a node holds"
    )


def test_warnings_do_not_fail(tmp_path: Path) -> None:
    file = tmp_path / "nutcracker.yml"
    file.write_text("a:\n  listen: 127.0.0.1:1\n  redis: true\n  hash: crc32\n  servers:\n   - 127.0.0.1:2:1\n")
    result = quench("check", str(file))
    assert result.exit_code == 0
    assert result.stderr.startswith(f"warning: {file}:4:9: a.hash: crc32 has 15 bits")


def test_config_is_a_migration(tmp_path: Path) -> None:
    result = quench("config", "-c", NUTCRACKER)
    document = yaml.safe_load(result.stdout)
    assert document["pools"]["beta"]["timeout"] == "400ms"
    native = tmp_path / "native.yml"
    native.write_text(result.stdout)
    assert quench("config", "-c", str(native)).stdout == result.stdout
    assert json.loads(quench("config", "--json", "-c", NUTCRACKER).stdout) == document


def test_config_masks_passwords(tmp_path: Path) -> None:
    file = tmp_path / "f.yml"
    file.write_text(Path(MINIMAL).read_text() + "    redis_auth: hunter2\n")
    for flag in ((), ("--json",)):
        result = quench("config", *flag, "-c", str(file))
        assert "hunter2" not in result.output and "********" in result.output


def test_config_describe_and_defaults() -> None:
    assert "pools.NAME.limits.window" in quench("config", "--describe").stdout
    assert len(json.loads(quench("config", "--describe", "--json").stdout)) == len(OPTIONS) + 1
    assert quench("config", "--defaults").stdout == defaults()
    both = quench("config", "--defaults", "--describe")
    assert both.exit_code == 2 and both.stderr.count("\n") == 1


def test_route_agrees_with_twemproxy() -> None:
    """Keys and nodes of ring B, from the vectors taken from nutcracker 0.5.0."""
    text = "b:\n  listen: 127.0.0.1:1\n  redis: true\n  servers:\n" + "".join(
        f"   - 127.0.0.1:{port}:1\n" for port in (6379, 6380, 6381, 6382)
    )
    result = CliRunner().invoke(cli, ["route", "-c", "-", "a", "foo", "user:1000", "hello world"], input=text)
    assert result.stdout.splitlines() == [
        "a → hash 2248273036 → node 127.0.0.1:6379 → 127.0.0.1:6379",
        "foo → hash 4275688823 → node 127.0.0.1:6381 → 127.0.0.1:6381",
        "user:1000 → hash 2927313545 → node 127.0.0.1:6382 → 127.0.0.1:6382",
        "hello world → hash 37540583 → node 127.0.0.1:6379 → 127.0.0.1:6379",
    ]


def test_route_names_the_pool() -> None:
    several = quench("route", "-c", NUTCRACKER, "k")
    assert (several.exit_code, several.stderr) == (
        2, f"quench: {NUTCRACKER} has several pools; add --pool alpha or --pool beta\n",
    )  # fmt: skip
    unknown = quench("route", "-c", NUTCRACKER, "--pool", "gamma", "k")
    assert (unknown.exit_code, unknown.stderr) == (2, f"quench: {NUTCRACKER} has no pool gamma; it has alpha, beta\n")
    rows = json.loads(quench("route", "-c", NUTCRACKER, "--json", "user:1000", QUENCH_POOL="beta").stdout)
    assert [row | {"address": None} for row in rows] == [
        {"key": "user:1000", "group": None, "hash": 2927313545, "node": "server1", "address": None,
         "replicas": []}
    ]
    assert rows[0]["address"] == "127.0.0.1:6380"


def test_route_names_the_group() -> None:
    text = Path(MINIMAL).read_text() + '    colocate: {rq: ["rq:"], late: ["rq:job"]}\n'
    result = CliRunner().invoke(cli, ["route", "-c", "-", "rq", "rq:queues", "rq:job:1", "user:1"], input=text)
    first, second, third, last = result.stdout.splitlines()
    assert second == first.replace("rq → ", "rq:queues → group rq → ")
    assert third.startswith("rq:job:1 → group late → hash ") and last.startswith("user:1 → hash ")


def test_route_takes_any_bytes() -> None:
    result = quench("route", "-c", MINIMAL, os.fsdecode(b"k\xff"))
    assert result.exit_code == 0 and result.stdout.startswith("k\\xff → hash ")


def test_route_with_random_distribution() -> None:
    text = Path(MINIMAL).read_text() + "    distribution: random\n"
    result = CliRunner().invoke(cli, ["route", "-c", "-", "k"], input=text)
    assert result.stdout.startswith("k → hash ") and result.stdout.endswith(" → any node\n")
    assert "warning: " in result.stderr


def test_commands() -> None:
    lines = quench("commands").stdout.splitlines()
    assert "get                      one node (copied)" in lines
    assert "incrby                   one node (merged)" in lines
    assert "del                      split by node, numbers added" in lines
    assert "client id                answered here" in lines
    assert any(line.startswith("shutdown ") and " refused: a client cannot" in line for line in lines)
    assert not any("{" in line or line.endswith("needs ") or line.endswith(": ") for line in lines)
    rows = json.loads(quench("commands", "--json").stdout)
    assert len(rows) == len(lines)
    get = next(row for row in rows if row["name"] == "get")
    assert (get["arity"], get["lane"], get["cacheable"], get["flags"]) == (2, "fast", True, ["fast", "readonly"])


def test_every_lane_has_its_words() -> None:
    assert set(LANES) == set(Lane.__members__)


@pytest.mark.parametrize(
    ("args", "level"),
    [(("run", "-c", MINIMAL), "info"), (("-c", MINIMAL), "info"), ((MINIMAL,), "info"), (("run", MINIMAL), "info"),
     (("--conf-file", MINIMAL), "info"), ((f"--conf-file={MINIMAL}", "--verbose=11"), "debug"),
     (("-c", MINIMAL, "-v"), "debug"), (("-v", "4", MINIMAL), "warning"),
     (("-c", MINIMAL, "--verbose", "0"), "critical")],
)  # fmt: skip
def test_run(args: tuple[str, ...], level: str, calls: Calls) -> None:
    assert quench(*args).exit_code == 0
    ((name, (settings,), options),) = calls
    assert (name, options) == ("proxy.app.run", {"log_level": level})
    assert settings.file == MINIMAL and [pool.name for pool in settings.pools] == ["cache"]


def test_run_from_the_environment(calls: Calls) -> None:
    assert quench(QUENCH_CONF_FILE=MINIMAL, QUENCH_VERBOSE="3").exit_code == 0
    assert quench("run", NUTCRACKER, QUENCH_CONF_FILE=MINIMAL).exit_code == 0
    assert [(args[0].file, options["log_level"]) for _, args, options in calls] == [
        (MINIMAL, "error"), (NUTCRACKER, "info"),
    ]  # fmt: skip


def test_run_is_not_reached_with_a_bad_file(calls: Calls, broken: str) -> None:
    assert quench(broken).exit_code == 78
    assert not calls


def test_exit_statuses(calls: Calls) -> None:
    calls.outcome = 1
    assert quench("run", MINIMAL).exit_code == 1
    calls.outcome = OSError(98, "Address already in use")
    result = quench("run", MINIMAL)
    assert (result.exit_code, result.stderr) == (1, "quench: Address already in use\n")
    calls.outcome = ExceptionGroup("", [ExceptionGroup("", [OSError(98, "no port")]), OSError("no wire")])
    result = quench("run", MINIMAL)
    assert (result.exit_code, result.stderr) == (1, "quench: no port\nquench: no wire\n")
    calls.outcome = ExceptionGroup("", [ValueError("a bug")])
    with pytest.raises(ExceptionGroup):
        quench("run", MINIMAL)


def test_node_and_demo(calls: Calls) -> None:
    plain = {"on_ready": _node_ready, "aclfile": None, "deny": (), "rename": {}, "parameters": {}}
    assert quench("node", "--listen", "[::1]:0", "--maxmemory", "64mb").exit_code == 0
    assert quench("node").exit_code == 0
    assert quench("demo").exit_code == 0
    assert quench("demo", QUENCH_LISTEN="127.0.0.1:7000").exit_code == 0
    assert list(calls) == [
        ("storenode.server.run", ("::1", 0, 64 << 20), plain),
        ("storenode.server.run", ("127.0.0.1", 6379, 256 << 20), plain),
        ("proxy.demo.demo", ("127.0.0.1", 6380), {}),
        ("proxy.demo.demo", ("127.0.0.1", 7000), {}),
    ]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("chekc",), "there is no verb 'chekc' and no such file; did you mean check?"),
        (("zzz",), "there is no verb 'zzz' and no such file; see quench --help"),
        (("run",), "no configuration file; give -c FILE or set QUENCH_CONF_FILE"),
        (("run", "-c", "a.yml", "b.yml"), "two configuration files, a.yml and b.yml; give one"),
        (("run", "--conf-fil", MINIMAL), "No such option '--conf-fil'. Did you mean '--conf-file'?"),
        (("route", "-c", MINIMAL), "Missing argument 'KEY…'."),
        (("node", "--maxmemory", "64"), "Invalid value for '--maxmemory': a size needs its unit; did you mean 64mb?"),
        (("node", "--listen", "6379"), "Invalid value for '--listen': expected host:port, got '6379'"),
        (("node", "--listen", "/run/a"), "Invalid value for '--listen': expected host:port, got a path"),
    ],
)
def test_wrong_usage_is_one_line(args: tuple[str, ...], message: str) -> None:
    result = quench(*args)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"quench: {message}\n")


def process(*args: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    """A real `python -m proxy`."""
    return subprocess.run(
        [sys.executable, "-m", "proxy", *args], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
        **options,
    )  # fmt: skip


def test_a_real_process(broken: str) -> None:
    bad = process("-c", broken)
    assert (bad.returncode, bad.stdout, len(bad.stderr.splitlines())) == (78, "", 2)
    good = process("-t", "-c", "config/quench.yml")
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.startswith("config/quench.yml: ok")


def test_a_reader_that_goes_away_is_no_crash() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "proxy", "config", "--describe"], cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as piped:  # fmt: skip
        assert piped.stdout and piped.stderr
        piped.stdout.close()
        assert piped.stderr.read() == ""

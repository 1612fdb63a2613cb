"""The command line: `quench VERB …`.

Owns the verbs, their options, what they print and the exit status; everything they do is elsewhere. `run`, `node` and
`demo` import what they start only when they start it, so that `quench check` stays quick and needs no engine.

    exit 0  clean                  3  clients had to be cut off
         1  crashed, or no port   78  the configuration is wrong (sysexits.h: EX_CONFIG)
         2  wrong usage

A user's mistake is one line on stderr, without a traceback.
"""

import importlib
import json
import os
import platform
import sys
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn

import click
from click.core import ParameterSource
from click.exceptions import NoArgsIsHelpError

from proxy.address import parse_listen
from proxy.config_file import load, loads
from proxy.config_text import defaults, describe, describe_text, effective, to_yaml
from proxy.connections import report
from proxy.nodes_page import nodes_of, table
from proxy.placement import routes
from proxy.settings import ConfigError, Pool, Settings
from proxy.units import parse_size

EX_CONFIG = 78
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 112}
# twemproxy counts verbosity from 0 to 11; these are its steps that have a name in Python's logging.
VERBOSITY = ((2, "critical"), (3, "error"), (4, "warning"), (6, "info"), (11, "debug"))

# The columns of `quench commands`, and its words for the lanes of the command table.
COMMAND_COLUMNS = (
    "name", "arity", "flags", "later", "why", "effect", "shared", "cacheable", "mergeable", "session", "since",
    "summary",
)  # fmt: skip
LANES = {
    "FAST": "one node",
    "MGET": "split by node, arrays merged",
    "MSET": "split by node",
    "SUM": "split by node, numbers added",
    "ENGINE": "answered here",
    "CONTROL": "answered here",
    "LATER": "refused: it needs {later}",
    "REFUSED": "refused: {why}",
}
EVERY_NODE = "every node, the replies merged"  # of CONTROL, what proxy.lanes.across answers


class Verbs(click.Group):
    """A group whose verb may be left out: `quench -c FILE` and `quench FILE.yml` run, `quench -t -c FILE` checks."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run the verb and exit; a usage error is one line."""
        try:
            status = super().main(*args, **extra | {"standalone_mode": False})
        except NoArgsIsHelpError as error:
            error.show()
            sys.exit(error.exit_code)
        except click.ClickException as error:
            click.echo(f"quench: {error.format_message()}", err=True)
            sys.exit(error.exit_code)
        except click.Abort:
            sys.exit(130)
        sys.exit(status or 0)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the verb in front where it was left out."""
        if not args and "QUENCH_CONF_FILE" in os.environ:
            args = ["run"]
        first = args[0] if args else ""
        if first in self.commands or first in ("", "-h", "--help", "-V", "--version"):
            pass
        elif {"-t", "--test-conf"} & set(args):
            args = ["check", *args]
        elif first.startswith("-") or "." in first or "/" in first or Path(first).is_file():
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find the verb; for an unknown one name the nearest."""
        if args and args[0] not in self.commands:
            near = get_close_matches(args[0], self.commands, n=1)
            advice = f"did you mean {near[0]}?" if near else "see quench --help"
            ctx.fail(f"there is no verb '{args[0]}' and no such file; {advice}")
        return super().resolve_command(ctx, args)


class SizeType(click.ParamType[int]):
    """An option that is a size: 256mb."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes."""
        try:
            return value if isinstance(value, int) else parse_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class PairType(click.ParamType[tuple[str, str]]):
    """An option that is two words: name=value."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """(name, value), the name in lower case."""
        if isinstance(value, tuple):
            return value
        word, equals, other = value.partition("=")
        if not word or not equals:
            self.fail(f"expected NAME=VALUE, got {value!r}", param, ctx)
        return word.lower(), other


class HostPortType(click.ParamType[tuple[str, int]]):
    """An option that is a TCP address: host:port."""

    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """(host, port)."""
        if isinstance(value, tuple):
            return value
        try:
            listen = parse_listen(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if listen.path:
            self.fail("expected host:port, got a path", param, ctx)
        return listen.host, listen.port


def conf_file(command: Any) -> Any:
    """The option and the argument that name the configuration file; the function gets `file`."""
    command = click.argument("given", metavar="[FILE]", required=False)(command)
    return click.option(
        "-c", "--conf-file", "file", metavar="FILE", envvar="QUENCH_CONF_FILE", help="Configuration; - reads stdin."
    )(command)


def as_json(command: Any) -> Any:
    """The option --json."""
    return click.option("--json", "json_", is_flag=True, help="Print JSON.")(command)


def version_line() -> str:
    """What a bug report needs, in one line."""
    parts = [f"python {platform.python_version()}"]
    for package in ("trio", "hiredis", "msgspec"):
        parts.append(f"{package} {_version(package)}")
    parts.append(f"{platform.system().lower()} {platform.release()} {platform.machine()}")
    return f"quench {_version('quench-proxy')} ({', '.join(parts)})"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(version_line())
        ctx.exit()


@click.group(
    cls=Verbs, context_settings=CONTEXT, no_args_is_help=True, subcommand_metavar="[VERB] [OPTIONS] [FILE]",
    epilog="\b\nVariables: QUENCH_CONF_FILE QUENCH_VERBOSE QUENCH_POOL QUENCH_LISTEN QUENCH_MAXMEMORY\n"
    "Exit: 0 clean, 1 crashed, 2 wrong usage, 3 clients cut off, 78 wrong configuration\n\n"
    "Example:  quench demo & redis-cli -p 6380 set hello world",
)  # fmt: skip
@click.option("-V", "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version,
              help="Print the version, with what a bug report needs.")  # fmt: skip
def cli() -> None:
    """A smart proxy tier for Redis: one port in front of many nodes. Without a verb, FILE is run."""


@cli.command(
    context_settings=CONTEXT, short_help="Serve the pools of FILE.",
    epilog="Example:  quench run -c config/minimal.yml",
)  # fmt: skip
@conf_file
@click.option("-v", "--verbose", type=click.IntRange(0, 11), metavar="N", default=5, show_default=True,
              is_flag=False, flag_value=7, envvar="QUENCH_VERBOSE",
              help="Log level as twemproxy counts: 3 errors, 4 warnings, 5 events, 7 (or no N) all.")  # fmt: skip
def run(file: str | None, given: str | None, verbose: int) -> None:
    """Serve the pools of FILE until told to stop."""
    settings = _settings(file, given)
    level = next(name for most, name in VERBOSITY if verbose <= most)
    _start("proxy.app", "run", settings, log_level=level)


@cli.command(
    context_settings=CONTEXT, short_help="Say everything that is wrong with FILE.",
    epilog="Example:  quench check -c config/redis.yml",
)  # fmt: skip
@conf_file
@click.option("-t", "--test-conf", is_flag=True, expose_value=False, hidden=True, help="twemproxy's word for check.")
def check(file: str | None, given: str | None) -> None:
    """Say everything that is wrong with FILE, as file:line:column: option: what to do.

    If nothing is, say how many connections a node has to expect.
    """
    settings = _settings(file, given)
    nodes = sum(len(pool.nodes or pool.cluster) for pool in settings.pools)
    pools = "1 pool" if len(settings.pools) == 1 else f"{len(settings.pools)} pools"
    click.echo(f"{settings.file}: ok: {pools}, {nodes} node{'s' * (nodes != 1)}, engines: {settings.engines}")
    facts, warnings = report(settings)
    for fact in facts:
        click.echo(fact)
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


@cli.command(
    context_settings=CONTEXT, short_help="Print the effective configuration, or the options.",
    epilog="Example:  quench config -c nutcracker.yml > quench.yml",
)  # fmt: skip
@conf_file
@as_json
@click.option("--describe", "describe_", is_flag=True, help="Print every option: value, default, meaning.")
@click.option("--defaults", "defaults_", is_flag=True, help="Print a sample file with every default.")
@click.option("--from-envoy", "envoy", metavar="FILE", help="Translate the redis_proxy filters of an Envoy bootstrap.")
@click.option("--from-predixy", "predixy", metavar="FILE", help="Translate a predixy configuration.")
def config(
    file: str | None, given: str | None, json_: bool, describe_: bool, defaults_: bool, envoy: str | None,
    predixy: str | None,
) -> None:  # fmt: skip
    """Print the effective configuration: every option spelled out, passwords masked.

    A nutcracker.yml comes out in the native form. What does not carry over from Envoy or predixy is a comment.
    """
    if sum(map(bool, (describe_, defaults_, envoy, predixy))) > 1:
        raise click.UsageError("--describe, --defaults and --from-… are different pages; ask for one")
    if envoy or predixy:
        if given or json_ or click.get_current_context().get_parameter_source("file") is ParameterSource.COMMANDLINE:
            raise click.UsageError("--from-… takes one file and prints YAML")
        _migrate(envoy, predixy)
    elif describe_:
        click.echo(_json(describe()) if json_ else describe_text())
    elif defaults_:
        click.echo(defaults(), nl=False)
    else:
        document = effective(_settings(file, given))
        click.echo(_json(document) if json_ else to_yaml(document), nl=json_)


@cli.command(
    context_settings=CONTEXT, short_help="Say on which node a key lives.",
    epilog="Example:  quench route -c config/redis.yml user:1000 user:1001",
)  # fmt: skip
@click.option("-c", "--conf-file", "file", metavar="FILE", envvar="QUENCH_CONF_FILE",
              help="Configuration; - reads stdin.")  # fmt: skip
@click.option("--pool", "name", metavar="NAME", envvar="QUENCH_POOL", help="The pool, where FILE has several.")
@as_json
@click.argument("keys", nargs=-1, required=True, metavar="KEY…")
def route(file: str | None, name: str | None, json_: bool, keys: tuple[str, ...]) -> None:
    """Say on which node each KEY lives."""
    pool = _pool(_settings(file, None), name)
    rows = routes(pool, keys)
    if json_:
        click.echo(_json(rows))
        return
    for row in rows:
        if pool.cluster:
            click.echo(f"{row['key']} → slot {row['hash']}")
            continue
        home = "any node" if row["node"] is None else f"node {row['node']} → {row['address']}"
        if row["replicas"]:
            home += f" (replicas: {', '.join(row['replicas'])})"
        group = f"group {row['group']} → " if row["group"] else ""
        click.echo(f"{row['key']} → {group}hash {row['hash']} → {home}")


@cli.command(
    context_settings=CONTEXT, short_help="Say how the nodes of a running proxy are.",
    epilog="Example:  quench nodes -c config/redis.yml",
)  # fmt: skip
@conf_file
@click.option("--pool", "name", metavar="NAME", envvar="QUENCH_POOL", help="The pool to ask, of several.")
@as_json
def nodes(file: str | None, given: str | None, name: str | None, json_: bool) -> None:
    """Say how the nodes of the proxy that runs with FILE are: state, role, lag, epoch, and what is on its way."""
    settings = _settings(file, given)
    pool = _pool(settings, name) if name else settings.pools[0]
    try:
        rows = nodes_of(pool)
    except OSError as error:
        click.echo(f"quench: {pool.listen}: {error.strerror or error}", err=True)
        sys.exit(1)
    click.echo(_json(rows) if json_ else table(rows))


@cli.command(
    context_settings=CONTEXT, short_help="Run one embedded storage node.",
    epilog="Example:  quench node --listen 127.0.0.1:6379 --maxmemory 1gb",
)  # fmt: skip
@click.option("--listen", type=HostPortType(), default="127.0.0.1:6379", show_default=True, envvar="QUENCH_LISTEN",
              help="Where to accept clients; port 0 is any free one.")  # fmt: skip
@click.option("--maxmemory", type=SizeType(), default="256mb", show_default=True, envvar="QUENCH_MAXMEMORY",
              help="Evict beyond this; 0b is no limit.")  # fmt: skip
@click.option("--aclfile", type=click.Path(dir_okay=False), help="Users, a line each as ACL LIST shows them.")
@click.option("--deny", multiple=True, metavar="COMMAND", help="Have no such command; may be repeated.")
@click.option("--rename", type=PairType(), multiple=True, metavar="COMMAND=NAME",
              help="What clients call it; may be repeated.")  # fmt: skip
@click.option("--set", "settings", type=PairType(), multiple=True, metavar="NAME=VALUE",
              help="As CONFIG SET does; may be repeated.")  # fmt: skip
@click.option("--dir", "folder", metavar="FOLDER", envvar="QUENCH_DIR",
              help="Where snapshots and the log are kept, and loaded from.")  # fmt: skip
@click.option("--save", metavar="'SECONDS CHANGES …'", help="When to write a snapshot; also at the end, then.")
@click.option("--appendonly", type=click.Choice(["yes", "no"]), help="Keep a log of all writes.")
@click.option("--appendfsync", type=click.Choice(["always", "everysec", "no"]), help="When the log is surely on disk.")
def node(
    listen: tuple[str, int], maxmemory: int, aclfile: str | None, deny: tuple[str, ...],
    rename: tuple[tuple[str, str], ...], settings: tuple[tuple[str, str], ...], folder: str | None, save: str | None,
    appendonly: str | None, appendfsync: str | None,
) -> None:  # fmt: skip
    """Run one embedded storage node."""
    host, port = listen
    chosen = {"dir": folder, "save": save, "appendonly": appendonly, "appendfsync": appendfsync}
    parameters = {**dict(settings), **{name: value for name, value in chosen.items() if value is not None}}
    _start("storenode.server", "run", host, port, maxmemory, on_ready=_node_ready, aclfile=aclfile, deny=deny,
           rename=dict(rename), parameters=parameters)  # fmt: skip


@cli.command(
    context_settings=CONTEXT, short_help="Run three embedded nodes and a proxy.",
    epilog="Example:  quench demo & redis-cli -p 6380 set hello world",
)  # fmt: skip
@click.option("--listen", type=HostPortType(), default="127.0.0.1:6380", show_default=True, envvar="QUENCH_LISTEN",
              help="Where the proxy accepts clients.")  # fmt: skip
def demo(listen: tuple[str, int]) -> None:
    """Run three embedded nodes and a proxy in front of them."""
    host, port = listen
    _start("proxy.demo", "demo", host, port)


@cli.command(
    context_settings=CONTEXT, short_help="List the commands and what becomes of each.",
    epilog="Example:  quench commands | grep refused",
)  # fmt: skip
@as_json
@click.option("--markdown", is_flag=True, help="Print a page: proxy/COMMANDS.md.")
def commands(json_: bool, markdown: bool) -> None:
    """List every Redis command: served by one node, split over several, answered here, or refused and why.

    "copied" marks a read that a copy of a hot key could answer, "merged" an increment that could be combined;
    neither is done yet.
    """
    from proxy.commands import CAPABILITIES, COMMANDS, Lane  # 100 kB of JSON that no other verb reads
    from proxy.commands_page import page
    from proxy.lanes import across

    if json_ and markdown:
        raise click.UsageError("--json and --markdown are two different pages; ask for one")
    rows = [row for command in COMMANDS.values() for row in (command, *command.subcommands.values())]
    if json_:
        click.echo(_json([{name: getattr(row, name) for name in COMMAND_COLUMNS} | {"lane": row.lane.name.lower()}
                          for row in rows]))  # fmt: skip
        return
    told = []
    for row in rows:
        marks = " (copied)" if row.cacheable else " (merged)" if row.mergeable else ""
        waits = f", waiting with {row.blocks_with}" if row.blocks_with else ", waiting" if row.blocking else ""
        words = EVERY_NODE if row.name in across.COMMANDS else LANES[row.lane.name]
        treatment = words.format(later=CAPABILITIES.get(row.later, row.later), why=row.why)
        told.append((row, treatment + (waits if row.lane is Lane.FAST else "") + marks))
    if markdown:
        click.echo(page(told), nl=False)
        return
    for row, treatment in told:
        click.echo(f"{row.name.replace('|', ' '):24} {treatment}")


def _settings(file: str | None, given: str | None) -> Settings:
    """The settings of the file that was named; warnings and problems to stderr, exit 78 if there are problems."""
    flag = click.get_current_context().get_parameter_source("file") is ParameterSource.COMMANDLINE
    if given and flag:
        raise click.UsageError(f"two configuration files, {file} and {given}; give one")
    path = given or file
    if path is None:
        raise click.UsageError("no configuration file; give -c FILE or set QUENCH_CONF_FILE")
    try:
        settings = load(path)
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(EX_CONFIG)
    for warning in settings.warnings:
        click.echo(f"warning: {warning}", err=True)
    return settings


def _migrate(envoy: str | None, predixy: str | None) -> None:
    """Print a migrated file; what would be wrong with it here is a warning."""
    from proxy import config_envoy, config_predixy

    source = envoy or predixy or ""
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
        if envoy:
            migration = config_envoy.convert(text)
        else:
            migration = config_predixy.convert(text, source, lambda path: Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
        click.echo(f"quench: {why}" if why.startswith(source) else f"quench: {source}: {why}", err=True)
        sys.exit(EX_CONFIG)
    text = migration.text(source)
    click.echo(text, nl=False)
    try:
        loads(text, "<output>")
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"warning: {problem}", err=True)


def _pool(settings: Settings, name: str | None) -> Pool:
    names = [pool.name for pool in settings.pools]
    if name is None and len(names) > 1:
        raise click.UsageError(f"{settings.file} has several pools; add --pool {' or --pool '.join(names)}")
    if name is not None and name not in names:
        raise click.UsageError(f"{settings.file} has no pool {name}; it has {', '.join(names)}")
    return settings.pool(name or names[0])


def _start(module: str, function: str, *args: Any, **options: Any) -> NoReturn:
    """Import a module now, call its function and exit with what it returns (None is 0), or 1 after an OSError."""
    failures: list[str] = []
    status = None
    try:
        status = getattr(importlib.import_module(module), function)(*args, **options)
    except* OSError as group:  # alone, or wrapped by a nursery
        failures = [error.strerror or str(error) for error in _leaves(group)]
    for failure in failures:
        click.echo(f"quench: {failure}", err=True)
    sys.exit(1 if failures else status)


def _node_ready(host: str, port: int) -> None:
    click.echo(f"storage node ready on {host}:{port}", err=True)


def _leaves(group: ExceptionGroup[OSError]) -> list[OSError]:
    return [
        leaf for error in group.exceptions
        for leaf in (_leaves(error) if isinstance(error, ExceptionGroup) else [error])
    ]  # fmt: skip


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)


def main() -> None:
    """The entry point: run the verb and exit."""
    cli(prog_name="quench")

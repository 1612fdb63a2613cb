"""The README is held to what it says: its commands run, its samples load, its tables agree with the code's tables."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench import report
from bench.scenarios import SCENARIOS
from bench.targets import TARGETS
from proxy.app import DRAIN_TIMEOUT
from proxy.cli import cli
from proxy.commands import COMMANDS, Lane
from proxy.config_file import load
from proxy.config_text import defaults
from proxy.errors import ERRORS, PLACEHOLDER
from proxy.options import OPTIONS
from proxy.spelling import spell

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)

#: Verbs that end by themselves; the others serve until they are told to stop.
ENDING = {"check", "config", "route", "commands", "--version", "--help"}
SERVING = {"run", "node", "demo", "nodes"}


def section(title: str) -> str:
    """The text below a heading, down to the next one of its rank."""
    match = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^\1 |\Z)", README, re.MULTILINE | re.DOTALL)
    assert match, f"the README has no section {title}"
    return match[2]


def rows(text: str) -> list[list[str]]:
    """The cells of every table row in a text, headings left out."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    headings = {above for above, below in pairwise(lines) if below.startswith("|---")}
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in lines if line not in headings and not line.startswith("|---")
    ]  # fmt: skip


def shell_lines() -> list[str]:
    """Every command of the README, from the blocks of commands and from the session's prompts."""
    found = []
    for language, text in BLOCKS:
        if language == "sh":
            found += [line.partition("  #")[0].strip() for line in text.splitlines() if line.strip()]
        elif language == "console":
            found += [line.removeprefix("$ ").partition("  #")[0].strip()
                      for line in text.splitlines() if line.startswith("$ ")]  # fmt: skip
    return found


def quench_lines() -> list[str]:
    return sorted({line for line in shell_lines() if line.startswith("quench ")})


def test_there_is_something_to_check() -> None:
    assert len(quench_lines()) >= 10 and {line.split()[1] for line in quench_lines()} >= SERVING


# -- commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", quench_lines())
def test_a_command_works(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that end are run; those that serve, or ask who does, are only parsed, their samples are loaded below."""
    monkeypatch.chdir(ROOT)
    words = shlex.split(line.removesuffix("&"))[1:]
    if words[0] in ENDING:
        result = CliRunner().invoke(cli, words, prog_name="quench")
        assert result.exit_code == 0, result.output
        assert result.stdout
        return
    assert words[0] in SERVING, f"is {words[0]} run by this test, or only parsed?"
    verb = cli.commands[words[0]]
    verb.make_context(words[0], words[1:])  # raises UsageError


def test_make_targets_exist() -> None:
    named = set(re.findall(r"\bmake ([a-z]+)", README))
    assert named >= {"build", "run", "test", "lint", "sanitize", "fuzz", "bench"}
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named - {"up"} <= targets


def test_the_session_routes_as_it_says() -> None:
    """The lines of `quench route` in the session are what the command prints."""
    session = "".join(text for language, text in BLOCKS if language == "console")
    command, printed = "", ""
    checked = 0
    for line in [*session.splitlines(), "$ end"]:
        if not line.startswith("$ "):
            printed += line + "\n"
            continue
        if command.startswith("quench route"):
            assert CliRunner().invoke(cli, shlex.split(command)[1:]).stdout == printed.rstrip("\n") + "\n"
            checked += 1
        command, printed = line.removeprefix("$ "), ""
    assert checked


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
    for name in re.findall(r"`((?:tests|bench|config|proxy|storenode)/[\w./]+|\.ci/run)`", README):
        assert (ROOT / name).exists(), name


# -- configuration ----------------------------------------------------------------------------------------------------


def test_the_sample_is_the_file() -> None:
    (sample,) = [text for language, text in BLOCKS if language == "yaml"]
    minimal = (ROOT / "config/minimal.yml").read_text()
    assert sample == "".join(line for line in minimal.splitlines(keepends=True) if not line.startswith("#"))


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yml")), ids=lambda path: path.name)
def test_samples_load(path: Path) -> None:
    assert load(str(path), environ={}).pools


def test_options_have_the_names_and_defaults_that_are_told() -> None:
    options = {option.key: option for option in OPTIONS}
    text = section("Configuration") + section("Running it in production") + section("What to know before using it")
    named = {name for name in re.findall(r"`([a-z]+_[a-z_]+|limits\.\w+)(?:: \w+)?`", text) if name != "_file"}
    groups = {name for option in OPTIONS for name in (option.key, option.name)}
    assert named and named <= groups, named - groups
    for option, default, *_ in rows(section("Running it in production")):
        row = options[option.strip("`")]
        assert default == str(spell(row, row.default)), option
    assert defaults() == (ROOT / "config/quench.yml").read_text()


def test_the_signals_paragraph_knows_the_deadline() -> None:
    assert f"{DRAIN_TIMEOUT:.0f} s at most" in section("Running it in production")


# -- errors and commands ----------------------------------------------------------------------------------------------


def test_every_error_that_is_explained_exists() -> None:
    explained = rows(section("What to know before using it"))
    texts = [PLACEHOLDER.sub("…", row.text) for row in ERRORS.values()]
    for cell, _ in explained:
        shown = cell.strip("`")
        pattern = re.escape(shown).replace("…", ".*") + "$"
        assert any(re.match(pattern, text) for text in texts), shown


def test_every_error_of_a_node_or_a_deadline_is_explained() -> None:
    """A new row that a client may see under load has to be explained as well."""
    explained = rows(section("What to know before using it"))
    patterns = [re.escape(cell.strip("`")).replace("…", ".*") for cell, _ in explained]
    for row in ERRORS.values():
        if row.label in {"node_down", "not_sent", "timeout", "node_lost", "fate_unknown", "backlog_full", "refused"}:
            text = PLACEHOLDER.sub("…", row.text)
            if row.code != "reserved_key":
                assert any(re.match(pattern, text) for pattern in patterns), row.code


def test_what_is_not_done_is_refused_and_what_is_done_is_not() -> None:
    for line in re.split(r"^\* ", section("What it does not do yet"), flags=re.MULTILINE)[1:]:
        named = {name.lower().replace(" ", "|") for name in re.findall(r"`([A-Z]+(?: [A-Z]+)?)`", line)}
        for name in named - {"eval", "evalsha", "noscript", "crossslot", "info", "xread|block", "client|tracking"}:
            container, _, word = name.partition("|")
            row = COMMANDS[container].subcommands[word] if word else COMMANDS[container]
            assert row.lane in {Lane.LATER, Lane.REFUSED}, name
    claim = re.search(r"\*\*Split commands.*?merged", README, re.DOTALL)
    assert claim
    split = {name.lower() for name in re.findall(r"`([A-Z]+)`", claim[0])}
    assert split == {row.name for row in COMMANDS.values() if row.lane in {Lane.MGET, Lane.MSET, Lane.SUM}}


# -- the tour ---------------------------------------------------------------------------------------------------------


def test_the_tour_is_the_tree() -> None:
    tour = section("Read the source in an hour")
    named: list[str] = []
    for folder, text in re.findall(r"^### `([\w/]+)/`[^\n]*\n(.*?)(?=^### |\Z)", tour, re.MULTILINE | re.DOTALL):
        for files, _ in rows(text):
            named += [f"{folder}/{name}" for name in re.findall(r"`([\w.]+)`", files)]
    assert len(named) == len(set(named)), "a file is named twice"
    tree = {
        str(path.relative_to(ROOT)) for package in ("proxy", "storenode") for path in (ROOT / package).rglob("*.py*")
        if path.suffix in {".py", ".pyx"} and path.name != "__init__.py"
    }  # fmt: skip
    assert set(named) == tree


# -- figures ----------------------------------------------------------------------------------------------------------


def test_the_figures_are_those_of_the_last_run() -> None:
    results = json.loads(report.LATEST.read_text())
    assert report.with_figures(README, results) == README, "run python -m bench.report"
    assert report.with_figures(report.with_figures(README, results), results) == README
    names = {scenario.name: scenario for scenario in SCENARIOS}
    for _, scenario, _, _ in report.README_ROWS:
        assert scenario in names
    for _, target in report.README_COLUMNS:
        assert target in TARGETS
    with pytest.raises(ValueError, match="end of figures"):
        report.with_figures(README.replace(report.FIGURES_END, ""), results)


def test_a_figure_is_a_median_in_its_cell() -> None:
    row = report.summarised("get-64", "quench", [{"front_us": 0.5}, {"front_us": 0.25}, {"front_us": 4.0}])
    machine = {"cpu": "a CPU", "cores": 2, "kernel": "6"}
    table = report.readme_table(
        {"taken": "2026-01-02T03:04:05", "machine": machine, "rounds": 3, "seconds": 2.0, "rows": [row]}
    )
    assert "| CPU µs/request, GET, depth 64 | 0.50 | - | - | - | - |" in table
    assert "`make bench`, 2026-01-02: a CPU, 2 cores" in table and "3 rounds of 2 s" in table


def test_commands_of_the_contributing_section_run_from_a_checkout() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in re.findall(r"\bmake ([a-z]+)", section("Contributing")):
        assert re.search(rf"^{name}\s", listed, re.MULTILINE), name

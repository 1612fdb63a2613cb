"""proxy/COMMANDS.md is what the command table says."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from proxy.cli import cli
from proxy.commands import COMMANDS, Lane
from proxy.commands_page import GROUPS, page

PAGE = Path(__file__).parents[1] / "proxy" / "COMMANDS.md"


def test_the_page_is_the_table() -> None:
    printed = CliRunner().invoke(cli, ["commands", "--markdown"]).stdout
    if PAGE.read_text() != printed:
        pytest.fail("proxy/COMMANDS.md is not what the command table says; run: make commands", pytrace=False)


def test_every_command_has_its_line() -> None:
    rows = [row for command in COMMANDS.values() for row in (command, *command.subcommands.values())]
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    names = [line.split("`")[1] for line in lines]
    assert sorted(names) == sorted(row.name.upper().replace("|", " ") for row in rows)
    assert {row.group for row in rows} == set(GROUPS)
    refused = [line for line in lines if "| refused: " in line]
    assert len(refused) == sum(row.lane in {Lane.LATER, Lane.REFUSED} for row in rows)
    assert all(line.count(" | ") == 2 for line in lines)


def test_cells_are_escaped() -> None:
    text = page([(COMMANDS["get"], "a|b <c>")])
    assert "| `GET` | a\\|b &lt;c> | " in text
    assert "Of 1 commands and subcommands 1 are served, 0 are not served yet" in text

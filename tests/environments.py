"""Environments of their own for clients and applications: one of Python or of Node.js for each list of packages.

They live under `build/`, are made on first use and kept until their list changes. A registry that cannot be reached is
a skip with the reason, found out once a session and within seconds; nothing waits for a network that is not there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[1] / "build"
WITHIN = 90  # seconds that an installation may take


def python_with(directory: str, *packages: str) -> Path:
    """The interpreter of a virtual environment `build/<directory>` with `packages`; skips where they cannot be had."""
    made = _python(directory, packages)
    if isinstance(made, str):
        pytest.skip(made)
    return made


def node_modules(directory: str, manifest: Path) -> Path:
    """`build/<directory>` with what a `package.json` lists installed; skips where it cannot be had."""
    made = _node(directory, manifest)
    if isinstance(made, str):
        pytest.skip(made)
    return made


@cache
def _python(directory: str, packages: Sequence[str]) -> Path | str:
    place = BUILD / directory
    python = place / "bin/python"
    wanted = "\n".join((sys.version, *packages))
    if _is_made(place, wanted):
        return python
    shutil.rmtree(place, ignore_errors=True)
    failed = f"pip cannot install {' '.join(packages)}"
    for command in (
        (sys.executable, "-m", "venv", "--without-pip", str(place)),
        (sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check",
         "--no-input", "--retries", "1", "--timeout", "5", *packages),
    ):  # fmt: skip
        if not _run(command):
            return failed
    (place / "made").write_text(wanted)
    return python


@cache
def _node(directory: str, manifest: Path) -> Path | str:
    for binary in ("node", "npm"):
        if shutil.which(binary) is None:
            return f"{binary} is not installed"
    place = BUILD / directory
    wanted = manifest.read_text()
    if _is_made(place, wanted):
        return place
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "package.json").write_text(wanted)
    if not _run(
        ("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent", "--fetch-retries=0",
         "--fetch-timeout=20000"), place,
    ):  # fmt: skip
        return f"npm cannot install what {manifest.name} lists"
    (place / "made").write_text(wanted)
    return place


def _is_made(place: Path, wanted: str) -> bool:
    mark = place / "made"
    return mark.exists() and mark.read_text() == wanted


def _run(command: Sequence[str], directory: Path | None = None) -> bool:
    """Whether the command succeeded in time. Its children go with it."""
    process = subprocess.Popen(
        command, cwd=directory, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        return process.wait(WITHIN) == 0
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
        return False

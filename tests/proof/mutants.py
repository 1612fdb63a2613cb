"""Mutants: the tree with one line of the engine changed, compiled elsewhere; whoever guards that line has to notice."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Mutant:
    """In `module`, a file of proxy/ without its suffix, `old` (found once) becomes `new`."""

    module: str
    old: str
    new: str

    @property
    def source(self) -> str:
        """Its file, from the root of the tree: of the engine, unless it says otherwise."""
        path = f"proxy/{self.module if '/' in self.module else 'engine/' + self.module}"
        return f"{path}.pyx" if (ROOT / f"{path}.pyx").exists() else f"{path}.py"

    def fits(self) -> bool:
        """Is there exactly one place for it?"""
        return self.new != self.old and (ROOT / self.source).read_text().count(self.old) == 1


def plant(mutant: Mutant, directory: Path) -> None:
    """Copy the tree to `directory`, and compile the one module that differs there.

    Raises:
        ValueError: the line is not there once: the table is to be brought up to date.
    """
    if not mutant.fits():
        raise ValueError(f"{mutant.source} does not have exactly once: {mutant.old!r}")
    skipped = shutil.ignore_patterns(".git", ".venv", "build", "*.c", "__pycache__", ".hypothesis", "*_cache")
    shutil.copytree(ROOT, directory, dirs_exist_ok=True, ignore=skipped)
    source = directory / mutant.source
    source.write_text(source.read_text().replace(mutant.old, mutant.new))
    if source.suffix == ".py":
        return
    name = mutant.source.removesuffix(".pyx").replace("/", ".")
    build = (
        "from Cython.Build import cythonize; from setuptools import setup, Extension;"
        f"setup(packages=[], script_args=['build_ext', '--inplace'], ext_modules=cythonize("
        f"[Extension('{name}', ['{mutant.source}'], extra_compile_args=['-O1', '-w'])]))"
    )
    (directory / "pyproject.toml").unlink()
    subprocess.run([sys.executable, "-W", "ignore", "-c", build], cwd=directory, check=True, capture_output=True)


def run_there(directory: Path, *command: str) -> str:
    """Run a module of the tree in `directory`: the last line of what it says against it; nothing if it is content."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=directory, text=True, capture_output=True,
        env=os.environ | {"PYTHONPATH": str(directory)},
    )  # fmt: skip
    if not done.returncode:
        return ""
    return (done.stderr.strip() or done.stdout.strip() or f"exit {done.returncode}").splitlines()[-1]


def main(mutants: Mapping[str, Mutant], notice: Callable[[Path, str], str]) -> int:
    """Plant each, or those named on the command line, and ask `notice`, with its tree and name; 1 if one was not."""
    parser = argparse.ArgumentParser(description="Break the engine in one place after another: is it noticed?")
    parser.add_argument("names", nargs="*", help="of mutants; all, if none is given")
    unnoticed = 0
    for name in parser.parse_args().names or mutants:
        with tempfile.TemporaryDirectory() as directory:
            began = time.monotonic()
            plant(mutants[name], Path(directory))
            said = notice(Path(directory), name)
        seconds = time.monotonic() - began
        print(f"{'noticed' if said else 'UNNOTICED'}: {name} ({seconds:.0f} s) {said[:110]}", flush=True)
        unnoticed += not said
    return 1 if unnoticed else 0

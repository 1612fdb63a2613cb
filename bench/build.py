"""Compiles the load generator in place, on first use and whenever a source is newer than what was built from it.

The extensions stay beside their sources and out of the installed package. Compiling happens in a child process, so that
the build tools' own warnings and monkey-patches stay out of the process that measures.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).resolve().parent
EXTENSIONS = ("histogram", "sampler", "generator", "floor")


def stale() -> bool:
    """Whether any source is newer than any extension: they share .pxd headers, so all are compiled together."""
    sources = [HERE / f"{name}.pyx" for name in EXTENSIONS]
    newest = max(path.stat().st_mtime for path in [*sources, *HERE.glob("*.pxd")])
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    built = [HERE / f"{name}{suffix}" for name in EXTENSIONS]
    return not all(path.exists() and path.stat().st_mtime >= newest for path in built)


def ensure_built() -> None:
    """Compile what is stale; raises RuntimeError with the compiler's output when that fails."""
    if not stale():
        return
    print("bench: compiling the load generator", file=sys.stderr)
    done = subprocess.run(
        [sys.executable, "-m", "bench.build"], cwd=HERE.parent, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(
            f"bench: the load generator does not compile (is there Cython, is there cc?):\n{done.stderr}"
        )


def compile_all() -> None:
    """Compile every extension beside its source. A bare Distribution: the project's own extensions are not touched."""
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension

    extensions = [Extension(f"bench.{name}", [f"bench/{name}.pyx"], extra_compile_args=["-O3"]) for name in EXTENSIONS]
    command = Distribution({"ext_modules": cythonize(extensions, quiet=True)}).get_command_obj("build_ext")
    command.inplace = True
    command.force = True
    command.parallel = 2
    command.ensure_finalized()
    command.run()


if __name__ == "__main__":
    compile_all()

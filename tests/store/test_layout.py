"""What the package may stand on, and how its files are built."""

import re
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "storenode"
SOURCES = sorted([*PACKAGE.glob("*.py"), *PACKAGE.glob("*.pyx"), *PACKAGE.glob("*.pxd")])


def test_of_proxy_only_the_wire_is_used() -> None:
    used = set()
    for path in SOURCES:
        used |= set(re.findall(r"^\s*(?:from|c?import)\s+(proxy[.\w]*)", path.read_text(), re.MULTILINE))
    assert used and all(name.startswith("proxy.wire.") for name in used), used


def test_below_the_facade_nothing_needs_the_gil() -> None:
    for path in PACKAGE.glob("*.pyx"):
        text = path.read_text()
        promises = re.findall(r"^cdef [\w* ]+\([^()]*\)([^\n]*):$", text, re.MULTILINE)
        assert promises and set(promises) == {" noexcept nogil"}, path
        assert "with gil" not in text, path
        assert ("with nogil" in text) == (path.name == "loop.pyx"), path


def test_every_source_has_its_header_and_its_extension() -> None:
    project = (PACKAGE.parent / "pyproject.toml").read_text()
    for path in PACKAGE.glob("*.pyx"):
        assert path.with_suffix(".pxd").exists(), path
        assert f'name = "storenode.{path.stem}"' in project, path


def test_files_stay_small_and_say_what_they_are() -> None:
    for path in SOURCES:
        lines = path.read_text().splitlines()
        assert len(lines) <= 600, path
        assert any(line.startswith('"""') for line in lines[:3]), path

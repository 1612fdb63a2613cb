"""The rules of the layout: which way imports run, how large a file is, what Cython code below the facades may not do.

They are checked in the text of the sources, because an import that points the wrong way works perfectly well until
somebody has to take the two files apart.
"""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from proxy.commands import Lane
from proxy.control.engines import EventKind
from proxy.errors import ENGINE_ERRORS, ENGINE_FIELDS

ROOT = Path(__file__).parents[1]
CYTHON = sorted([*ROOT.glob("proxy/*/*.pyx"), *ROOT.glob("storenode/*.pyx")])
SOURCES = sorted(
    path for package in ("proxy", "storenode") for suffix in ("py", "pyx", "pxd")
    for path in ROOT.glob(f"{package}/**/*.{suffix}")
)  # fmt: skip

#: Of a whole file, comments included.
MOST_LINES = 600

#: Modules that turn Python objects into structs and back. Everything else of proxy.engine and proxy.wire, and all of
#: storenode but its loop, runs without the GIL.
FACADES = {
    "proxy.engine.audit", "proxy.engine.colocate", "proxy.engine.controls", "proxy.engine.engine", "proxy.engine.probe",
    "proxy.engine.ring", "proxy.engine.tables", "proxy.engine.users", "proxy.wire.framer", "proxy.wire.inspect",
    "storenode.loop",
}  # fmt: skip

#: Layers of the proxy, highest first: a file imports from its own layer and from lower ones.
LAYERS = (
    ("proxy.__main__",),
    ("proxy.cli",),
    ("proxy.demo",),
    ("proxy.app",),
    ("proxy.lanes",),
    ("proxy.control",),
    ("proxy.config_envoy", "proxy.config_predixy"),
    ("proxy.migration",),
    ("proxy.config_file", "proxy.config_text"),
    ("proxy.config_pool", "proxy.connections", "proxy.nodes_page"),
    ("proxy.config_users",),
    ("proxy.config_walk",),
    ("proxy.placement",),
    ("proxy.engine",),
    ("proxy.commands_page",),
    ("proxy.acl",),
    ("proxy.commands", "proxy.spelling"),
    ("proxy.errors", "proxy.options", "proxy.units"),
    ("proxy.settings",),
    ("proxy.address",),
    ("proxy.wire",),
)

#: The engine, from the loop down: a file imports only from files further down. The `.pxd` of a file may name those that
#: its inline functions need, and obeys the same order.
SPINE = (
    "probe", "audit", "engine", "controls", "tables", "users", "turn", "orders", "seats", "clients", "accept",
    "client", "dispatch", "monitor", "copied", "transaction", "blocking", "elements", "copying", "replies", "spread",
    "combine", "early", "launch", "quorum", "cool", "fanout", "tombstones", "places", "reads", "choice", "members",
    "redirect", "tracking", "shield", "ear",
    "private", "route", "answers", "rights", "refusals", "audience", "scripts", "connection", "effects", "hints",
    "greeting", "describe", "lease", "hot", "fans", "fetch", "again", "sources", "voices", "retained", "fence", "holds",
    "waves",
    "shards", "copies", "sketch", "marks", "keys", "lookup", "mail", "texts", "slots", "tenure", "merge", "parts",
    "cluster", "heat", "tally", "types", "kinds", "counters", "leaves", "rows", "ring", "colocate", "hashes",
)  # fmt: skip

#: The ground floor, from what knows most down to what knows nothing.
WIRE = (
    "inspect", "framer", "rewrite", "input", "output", "reply", "resp", "chunk", "poll", "mailbox", "glob",
    "sha256", "system",
)


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def imports_of(path: Path) -> set[str]:
    """The modules of this project that a file imports or cimports, wherever in the file."""
    found = set()
    for package, names in re.findall(
        r"^\s*from\s+((?:proxy|storenode)[.\w]*)\s+c?import\s+(\([^)]*\)|[^\n]*)", path.read_text(), re.MULTILINE
    ):
        found |= {
            f"{package}.{name}" if is_module(f"{package}.{name}") else package
            for name in re.findall(r"(\w+)(?:\s+as\s+\w+)?", names)
        }
    return found | set(re.findall(r"^\s*c?import\s+((?:proxy|storenode)[.\w]*)", path.read_text(), re.MULTILINE))


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or any(path.with_suffix(f".{suffix}").exists() for suffix in ("py", "pyx", "pxd"))


def layer(module: str) -> int:
    for number, members in enumerate(LAYERS):
        if any(module == member or module.startswith(member + ".") for member in members):
            return number
    raise AssertionError(f"{module} is in no layer: give it a place in LAYERS")


def code_of(path: Path) -> str:
    """A source without its docstrings and comments."""
    return re.sub(r"#[^\n]*", "", re.sub(r'"""(?:.|\n)*?"""', "", path.read_text()))


def enum_of(name: str) -> list[tuple[str, int]]:
    """The members of an enum of the engine's types.pxd or rows.pxd, in order."""
    text = "".join((ROOT / f"proxy/engine/{stem}.pxd").read_text() for stem in ("types", "kinds", "rows"))
    body = re.search(rf"^cdef enum {name}:[^\n]*\n((?:    [^\n]*\n|\n)+)", text, re.MULTILINE)
    assert body, name
    return [(key, int(value)) for key, value in re.findall(r"^    (\w+) = (\d+)", body[1], re.MULTILINE)]


# -- imports ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_imports_run_one_way(path: Path) -> None:
    importer = module_of(path)
    for imported in imports_of(path):
        edge = f"{importer} imports {imported}"
        if importer.startswith("storenode"):
            assert imported.startswith(("storenode", "proxy.wire.")), edge
        elif imported.startswith("storenode"):
            assert importer == "proxy.cli", edge  # which starts one; the rest of the proxy knows nodes by their address
        else:
            assert layer(imported) >= layer(importer), edge


@pytest.mark.parametrize(("package", "order"), [("engine", SPINE), ("wire", WIRE)])
def test_inside_a_compiled_package_the_order_is_a_line(package: str, order: tuple[str, ...]) -> None:
    folder = ROOT / "proxy" / package
    assert {path.stem for path in (*folder.glob("*.pyx"), *folder.glob("*.pxd"))} == set(order)
    place = {f"proxy.{package}.{name}": number for number, name in enumerate(order)}
    for path in (*folder.glob("*.pyx"), *folder.glob("*.pxd")):
        for imported in imports_of(path) & set(place):
            # A cycle of two headers is none of two objects: nothing but types.pxd names the ring's struct.
            assert place[imported] > place[module_of(path)] or imported == module_of(path), f"{path} imports {imported}"


def test_the_data_plane_knows_no_policy() -> None:
    for path in SOURCES:
        if module_of(path).startswith(("proxy.engine", "proxy.wire")):
            text = path.read_text()
            assert not re.search(r"\b(c?import|from)\s+(trio|proxy\.control|proxy\.app|proxy\.cli)\b", text), path
        assert not re.search(r"^\s*(import|from)\s+(asyncio|threading)\b", path.read_text(), re.MULTILINE), path


def test_what_decides_is_pure() -> None:
    for name in ("health", "statistics", "reply"):
        assert not re.search(r"^\s*(import|from)\s+(trio|time|socket|random)\b",
                             (ROOT / f"proxy/control/{name}.py").read_text(), re.MULTILINE), name  # fmt: skip
    for path in (*(ROOT / "proxy/control/answers").glob("*.py"), ROOT / "proxy/lanes/registry.py"):
        assert "trio" not in code_of(path), path


# -- files ------------------------------------------------------------------------------------------------------------


def test_no_file_is_long() -> None:
    for folder in ("proxy", "storenode", "bench", "tests"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".pyx", ".pxd", ".pyi"}:
                lines = len(path.read_text().splitlines())
                assert lines <= MOST_LINES, f"{path}: {lines} lines; which noun of it deserves a file of its own?"


@pytest.mark.parametrize("path", CYTHON, ids=module_of)
def test_a_compiled_file_says_what_it_is(path: Path) -> None:
    header = path.with_suffix(".pxd")
    texts = [file.read_text() for file in (path, header) if file.exists()]
    said = [re.match(r'(?:#[^\n]*\n)*"""((?:.|\n)*?)"""', text) for text in texts]
    assert said[0], f"{path} does not open with a docstring"
    lines = [line for docstring in said if docstring for line in docstring[1].strip().splitlines() if line.strip()]
    assert len(lines) >= 2, f"{path} and its .pxd together say too little"
    assert texts[0].startswith(
        "# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False\n"
    ), path


def test_every_compiled_file_is_built_and_has_the_header_it_needs() -> None:
    built = {
        row["name"] for row in
        tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
    }  # fmt: skip
    assert built == {module_of(path) for path in CYTHON}
    for path in CYTHON:
        module = module_of(path)
        wanted = re.compile(rf"from {re.escape(module)} cimport|cimport {re.escape(module)}\b")
        if any(wanted.search(other.read_text()) for other in SOURCES):
            assert path.with_suffix(".pxd").exists(), path


@pytest.mark.parametrize("path", CYTHON, ids=module_of)
def test_below_the_facades_nothing_needs_the_gil(path: Path) -> None:
    code = code_of(path)
    assert not re.search(r"^\s*(DEF\s|include\s|IF\s)", code, re.MULTILINE), "modules and enums, not DEF and include"
    assert not re.search(r"\bwith gil\b", code)
    if module_of(path) in FACADES:
        return
    assert "except *" not in code
    functions = re.findall(
        r"^cdef (?!enum|struct|extern|class|union)([^\n=]*\([^()]*\)[^\n]*):[ ]*$", code, re.MULTILINE
    )
    assert functions or "hashes" in path.name
    for function in functions:
        assert function.endswith("noexcept nogil"), function


@pytest.mark.parametrize("path", sorted([*ROOT.glob("proxy/**/*.pyi"), *ROOT.glob("storenode/*.pyi")]), ids=module_of)
def test_a_stub_tells_what_the_compiled_module_has(path: Path) -> None:
    """Public names of classes, both ways; functions of a stub have to exist."""
    module = importlib.import_module(module_of(path))
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef) and isinstance(vars(module).get(node.name), type):
            told = {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
            told |= {item.target.id for item in node.body
                     if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)}  # fmt: skip
            own = {name for name in vars(getattr(module, node.name)) if not name.startswith("_")}
            assert own == {name for name in told if not name.startswith("_")}, node.name
        elif isinstance(node, ast.FunctionDef):
            assert callable(getattr(module, node.name)), node.name


# -- numbers that two languages share ---------------------------------------------------------------------------------


def test_enums_agree_with_the_tables() -> None:
    assert enum_of("Lane") == [(f"LANE_{lane.name}", lane.value) for lane in Lane]
    kinds = enum_of("ErrorKind")
    assert [number for _, number in kinds] == list(range(len(ENGINE_ERRORS) + 1))
    assert kinds[-1] == ("ERROR_KINDS", len(ENGINE_ERRORS))
    fields = [(f"FIELD_{name.upper()}", number) for number, name in enumerate(ENGINE_FIELDS, 1)]
    assert enum_of("ErrorField") == [("FIELD_NONE", 0), *fields, ("FIELDS", len(fields) + 1)]
    events = [(name, number) for name, number in vars(EventKind).items() if name.isupper()]
    assert enum_of("EventKind") == [(f"EVENT_{name}", number) for name, number in events]


@pytest.mark.parametrize("name", ["RowFlag", "ClientFlag", "ReplyFlag"])
def test_no_two_flags_share_a_bit(name: str) -> None:
    numbers = [number for _, number in enum_of(name)]
    assert len(set(numbers)) == len(numbers) and all(number & (number - 1) == 0 for number in numbers)


def test_no_two_orders_have_a_number() -> None:
    numbers = [number for _, number in enum_of("OrderKind")]
    assert len(set(numbers)) == len(numbers)


# -- the project speaks of itself -------------------------------------------------------------------------------------


def test_nothing_names_the_machine_it_was_written_on() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    for name in tracked.stdout.splitlines():
        path = ROOT / name
        if path.suffix not in {".png", ".json"} and path.exists():
            found = re.search(r"(?<![\w.])/(home|root|work|Users)/[a-z]", path.read_text())
            assert not found or path == Path(__file__), f"{name}: {found}"

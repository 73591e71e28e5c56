"""What holds for the repository as a whole: who imports whom, what is pinned, what must not be committed."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"

EVERYTHING = frozenset({"errors", "model", "config", "crypto", "store", "core", "web", "dialects", "console"})
# The map of docs/architecture.md: each package and what it may import of ours, besides itself.
ALLOWED: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "model": frozenset(),
    "config": frozenset({"errors"}),
    "crypto": frozenset(),
    "store": frozenset({"model", "errors"}),
    "core": frozenset({"model", "errors", "config", "crypto", "store"}),
    # Bodies are read by the same strict rules as tokens.
    "web": frozenset({"core", "model", "errors", "crypto.certificates", "crypto.strict_json"}),
    "dialects": frozenset({"core", "web", "model", "errors"}),
    "console": frozenset({"core", "web", "model", "errors"}),
    "logs": frozenset({"config"}),
    "workers": frozenset({"config"}),
    "server": EVERYTHING | {"logs", "workers"},
    # The demo prepares what an operator prepares by hand.
    "demo": EVERYTHING | {"server"},
    # Lists and checks read the store themselves; what arrives over the network is none of the command line's business.
    "cli": frozenset({"errors", "model", "config", "crypto", "store", "core", "server", "demo"}),
    "__main__": frozenset({"cli"}),
}
# Where things of others are kept.
VENDORED = ("tests/vectors", "src/aldaba/web/vendored")


def git(*arguments: str) -> list[str]:
    command = ["git", "-c", "safe.directory=*", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()


def committed(*paths: str) -> Iterator[tuple[str, str]]:
    """Yield path and text of every text file that is committed or about to be."""
    for path in git("ls-files", "--", *paths):
        content = (ROOT / path).read_bytes() if (ROOT / path).is_file() else b""
        if b"\0" not in content:
            yield path, content.decode(errors="replace")


def lines_with(pattern: str, *paths: str) -> list[str]:
    compiled = re.compile(pattern)
    return [
        f"{path}:{number}: {line.strip()[:120]}"
        for path, text in committed(*paths)
        for number, line in enumerate(text.splitlines(), 1)
        if compiled.search(line)
    ]


def test_no_path_of_a_machine_and_no_address_of_a_package_index_is_committed() -> None:
    pattern = r"/(tmp|work|farm|root)/[A-Za-z0-9_.-]+|^--(extra-)?index-url|https?://[a-z.-]*(pypi|pythonhost|npm|debian)[a-z.-]*/"

    assert [] == lines_with(pattern, ".", ":!tests/vectors", ":!*.svg")


def test_nothing_is_left_open_in_the_source() -> None:
    assert [] == lines_with(r"\b(TODO|FIXME|XXX|NotImplementedError)\b", "src", ":!src/aldaba/web/vendored")


def test_no_secret_is_committed() -> None:
    pattern = r"-----BEGIN [A-Z ]*PRIVATE KEY-----"

    assert [] == lines_with(pattern, ".", ":!tests")


# --- requirements ----------------------------------------------------------------------------------------------------


def pins(name: str) -> dict[str, str]:
    """Return the pinned versions of a requirements file, by package and environment marker."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text().replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            requirement, *hashes = re.split(r"\s+--hash=", line.strip())
            assert hashes, f"{requirement} has no hash"
            assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each.strip()) for each in hashes)
            package, _, rest = requirement.partition("==")
            version, _, marker = rest.partition(" ; ")
            assert version, f"{requirement} is not pinned"
            found[f"{package} {marker}".strip()] = version
    return found


@pytest.mark.parametrize("name", ["run", "test", "build"])
def test_every_requirement_is_pinned_with_hashes(name: str) -> None:
    assert pins(name)


def test_every_dependency_of_the_project_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[\[<>=; ]", dependency)[0] for dependency in project["dependencies"]}

    assert set() == names - {package.split()[0] for package in pins("run")}


def test_the_tests_run_on_the_versions_that_serve() -> None:
    test = pins("test")

    assert {} == {package: version for package, version in pins("run").items() if test.get(package) != version}


def test_one_environment_holds_all_requirements() -> None:
    test, build = pins("test"), pins("build")

    assert {} == {package: version for package, version in build.items() if test.get(package, version) != version}


# --- recipes ---------------------------------------------------------------------------------------------------------


def test_make_alone_lists_every_recipe() -> None:
    recipes = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipes

    listed = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout

    assert recipes[1].split() == [line.split()[1] for line in listed.splitlines()]


def test_the_document_for_contributors_names_every_recipe() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    recipes = re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert [] == [recipe for recipe in recipes if f"`make {recipe}" not in text and recipe != "help"]


def test_what_the_ci_runs_is_a_sound_script() -> None:
    script = ROOT / ".ci" / "run"

    assert script.stat().st_mode & 0o111
    assert "set -euo pipefail" in script.read_text()
    subprocess.run(["bash", "-n", str(script)], check=True)


# --- what others wrote -----------------------------------------------------------------------------------------------


def vendored() -> list[Path]:
    return [folder for place in VENDORED for folder in sorted((ROOT / place).glob("*")) if folder.is_dir()]


@pytest.mark.parametrize("folder", vendored(), ids=lambda folder: folder.name)
def test_what_others_wrote_stands_with_its_licence_and_is_named_with_its_version(folder: Path) -> None:
    notes = (folder.parent / "README.md").read_text()

    assert [path for path in folder.iterdir() if path.name.startswith(("LICENSE", "NOTICE"))]
    row = re.search(rf"^\| `{re.escape(folder.name)}/?` \|(.+)\|$", notes, re.MULTILINE)
    assert row, f"{folder.parent.name}/README.md has no row for {folder.name}"
    name, version, licence, *_ = (cell.strip() for cell in row[1].split("|"))
    assert all([name, version, licence])


# --- who imports whom ------------------------------------------------------------------------------------------------


def modules() -> dict[str, Path]:
    """Return every module of ours by its name, without the leading `aldaba.`."""
    found = {}
    for path in sorted((SOURCE / "aldaba").rglob("*.py")):
        parts = path.relative_to(SOURCE / "aldaba").with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imported(module: str, text: str, *, is_package: bool) -> Iterator[str]:
    """Yield the modules of ours that a module imports, inside functions and for type checkers too."""
    package = ["aldaba", *module.split(".")] if is_package else ["aldaba", *module.split(".")[:-1]]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *filter(None, [node.module])])
            names = [f"{start}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.removeprefix("aldaba.") for name in names if name.split(".")[0] == "aldaba")


def owner(module: str) -> str:
    """Return what must keep to itself: a package of the map, or one dialect."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "dialects" else parts[0]


def is_allowed(importer: str, imports: str) -> bool:
    if owner(importer) == owner(imports):
        return True
    return any(f"{imports}.".startswith(f"{allowed}.") for allowed in ALLOWED[importer.partition(".")[0]])


@pytest.mark.parametrize("module", [module for module in MODULES if module])
def test_a_module_imports_only_what_the_map_allows(module: str) -> None:
    path = MODULES[module]

    assert module.partition(".")[0] in ALLOWED, "not on the map"
    found = imported(module, path.read_text(), is_package=path.name == "__init__.py")
    assert [] == [name for name in found if not is_allowed(module, name)]


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith("dialects.")])
def test_a_dialect_holds_no_sql_and_no_key(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert set() == {name.split(".")[0] for name in names} & {
        "sqlalchemy",
        "sqlite3",
        "psycopg",
        "cryptography",
        "joserfc",
    }


@pytest.mark.parametrize(
    "module, text, allowed",
    [
        ("crypto.jwt", "from aldaba.errors import Reason", False),
        ("config.load", "from aldaba.errors import Reason", True),
        ("store.ledger", "import aldaba.core.issue", False),
        ("store.ledger", "from aldaba import core", False),
        ("store.ledger", "from . import schema\nfrom .schema import clients", True),
        ("core.issue", "def f():\n    from aldaba.web import peer", False),
        ("dialects.fleet.routes", "from aldaba.dialects.fleet import wire", True),
        ("dialects.fleet.routes", "from aldaba.dialects.mobility import wire", False),
        ("dialects.fleet.routes", "from ..mobility import wire", False),
        ("dialects.fleet.routes", "from aldaba.store.tokens import find", False),
        ("web.peer", "from aldaba.crypto.certificates import parse", True),
        ("web.peer", "from aldaba.crypto.certificates.policy import parse", True),
        ("web.peer", "from aldaba.crypto.certificates_of_others import parse", False),
        ("web.peer", "from aldaba.crypto import jwt", False),
        ("web.peer", "if TYPE_CHECKING:\n    from aldaba.store import Database", False),
        ("cli.main", "from aldaba.dialects.fleet import wire", False),
        ("web.peer", "import starlette.requests", True),
    ],
)
def test_the_walk_over_imports_finds_what_the_map_forbids(module: str, text: str, allowed: bool) -> None:
    found = imported(module, text, is_package=False)

    assert allowed == all(is_allowed(module, name) for name in found)

"""What every test can ask for: the event loop, a fresh database on each engine; and the list of what was skipped."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest

from aldaba.store.database import prepare_database
from tests.installation import Installation, install
from tests.postgresql import PostgreSQL, running_postgresql


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Run `pytest.mark.anyio` tests on the loop the server runs on."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQL]:
    """Give the one PostgreSQL of the run."""
    # Not below pytest's own folder: every run of pytest closes that to other users, and root's server is another user.
    with TemporaryDirectory(prefix="aldaba-postgresql-") as folder, running_postgresql(Path(folder)) as server:
        yield server


@pytest.fixture
def postgresql(postgresql_server: PostgreSQL) -> Iterator[str]:
    """Give the URL of an empty PostgreSQL database."""
    name = postgresql_server.create()
    yield postgresql_server.url(name)
    postgresql_server.drop(name)


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """Give the URL of an SQLite database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'aldaba.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Give the URL of an empty database, on each engine in turn."""
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an SQLite database with the schema, to be copied: that is quicker than making one for each test."""
    file = tmp_path_factory.mktemp("migrated") / "aldaba.db"
    anyio.run(prepare_database, f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def migrated_database(postgresql_server: PostgreSQL) -> str:
    """Give the name of a PostgreSQL database with the schema, to be copied."""
    name = postgresql_server.create()
    anyio.run(prepare_database, postgresql_server.url(name))
    return name


@pytest.fixture
def migrated_sqlite(migrated_file: Path, tmp_path: Path) -> str:
    """Give the URL of an SQLite database with an empty registry."""
    return f"sqlite:///{shutil.copy(migrated_file, tmp_path)}"


@pytest.fixture
def migrated_postgresql(migrated_database: str, postgresql_server: PostgreSQL) -> Iterator[str]:
    """Give the URL of a PostgreSQL database with an empty registry."""
    name = postgresql_server.create(template=migrated_database)
    yield postgresql_server.url(name)
    postgresql_server.drop(name)


@pytest.fixture
def sqlite_installation(migrated_sqlite: str, tmp_path: Path) -> Installation:
    """Give an installation with an empty registry on SQLite, for what does not depend on the engine."""
    return install(tmp_path, migrated_sqlite)


@pytest.fixture
def postgresql_installation(migrated_postgresql: str, tmp_path: Path) -> Installation:
    """Give an installation with an empty registry on PostgreSQL."""
    return install(tmp_path, migrated_postgresql)


@pytest.fixture(params=["sqlite", "postgresql"])
def installation(request: pytest.FixtureRequest) -> Installation:
    """Give an installation with an empty registry, on each engine in turn."""
    given: Installation = request.getfixturevalue(f"{request.param}_installation")
    return given


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List every skipped test by name, so that nobody takes a skip for a pass."""
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    terminalreporter.section(f"{len(skipped)} skipped", sep="-")
    for report in skipped:
        _, _, reason = report.longrepr
        terminalreporter.write_line(f"{report.nodeid}: {reason.removeprefix('Skipped: ')}")

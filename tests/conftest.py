"""What every test can ask for: the event loop, a fresh database on each engine; and the list of what was skipped."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

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
    return f"sqlite+aiosqlite:///{tmp_path / 'aldaba.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Give the URL of an empty database, on each engine in turn."""
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture
async def installation(tmp_path: Path, database_url: str) -> Installation:
    """Give an installation with an empty registry, on each engine in turn."""
    return await install(tmp_path, database_url)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List every skipped test by name, so that nobody takes a skip for a pass."""
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    terminalreporter.section(f"{len(skipped)} skipped", sep="-")
    for report in skipped:
        _, _, reason = report.longrepr
        terminalreporter.write_line(f"{report.nodeid}: {reason.removeprefix('Skipped: ')}")

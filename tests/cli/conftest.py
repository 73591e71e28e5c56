"""An operator's folder, on each engine."""

from pathlib import Path

import pytest

from tests.cli.office import Office, open_office


@pytest.fixture
def office(migrated_sqlite: str, tmp_path: Path) -> Office:
    """Give an installation with an empty registry on SQLite, for what does not depend on the engine."""
    return open_office(tmp_path, migrated_sqlite)


@pytest.fixture
def postgresql_office(migrated_postgresql: str, tmp_path: Path) -> Office:
    """Give an installation with an empty registry on PostgreSQL."""
    return open_office(tmp_path, migrated_postgresql)

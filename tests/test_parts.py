"""The tests' own ground: missing parts are skipped and listed, or fail; databases are real and fresh."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.ext.asyncio import create_async_engine

from aldaba.store.database import engine_for
from tests.parts import needs

ROOT = Path(__file__).parents[1]


def test_a_part_that_is_there_is_found() -> None:
    assert needs("git").name == "git"


def test_a_missing_part_skips_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUIRE_ALL", raising=False)

    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed"):
        needs("no-such-program")


def test_a_missing_part_fails_the_test_where_all_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUIRE_ALL", "1")

    with pytest.raises(pytest.fail.Exception, match="no-such-program is missing"):
        needs("no-such-program")


def test_skipped_tests_are_listed_by_name_with_their_reason(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pytest\nfrom tests.parts import needs\n"
        "@pytest.mark.skip(reason='for a while')\ndef test_marked(): pass\n"
        "def test_lacking(): needs('no-such-program')\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-c", "pyproject.toml"]

    run = subprocess.run(
        [*command, str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"REQUIRE_ALL": ""},
        check=True,
        capture_output=True,
        text=True,
    )

    assert "test_it.py::test_marked: for a while\n" in run.stdout
    assert "test_it.py::test_lacking: no-such-program is not installed\n" in run.stdout
    assert "2 skipped" in run.stdout.splitlines()[-1]


@pytest.mark.anyio
@pytest.mark.parametrize("time", ["first", "second"])
async def test_every_test_has_an_empty_database_of_its_own(database_url: str, time: str) -> None:
    engine = engine_for(database_url)
    tables = await engine.run(lambda connection: inspect(connection).get_table_names(), change=False)
    await engine.run(lambda connection: connection.execute(text("CREATE TABLE written (number INTEGER)")), change=True)
    await engine.close()

    assert tables == [], time


@pytest.mark.anyio
async def test_postgresql_is_the_version_that_is_promised(postgresql: str) -> None:
    engine = create_async_engine(postgresql)
    async with engine.connect() as connection:
        version = (await connection.execute(text("SHOW server_version_num"))).scalar_one()
        durable = (await connection.execute(text("SHOW synchronous_commit"))).scalar_one()
    await engine.dispose()

    assert (18, "on") == (int(version) // 10_000, durable)

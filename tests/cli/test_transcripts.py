"""Every transcript goes as it is written: on both engines, or on SQLite where the engine makes no difference."""

from pathlib import Path

import pytest

from aldaba.crypto.certificates import Authority
from tests.cli.office import Office
from tests.cli.transcript import Player, parse

FOLDER = Path(__file__).parent / "transcripts"


@pytest.fixture
def certificates(tmp_path: Path) -> None:
    """Put certificates where the transcripts name them."""
    authority = Authority.create("Their CA")
    authority.write(tmp_path / "their-ca.pem", tmp_path / "their-ca.key")
    authority.client("vialtis").write(tmp_path / "vialtis.pem", tmp_path / "vialtis.key")


def names(folder: Path) -> list[str]:
    """Return the names of the transcripts in a folder."""
    return sorted(file.stem for file in folder.glob("*.txt"))


@pytest.mark.usefixtures("certificates")
@pytest.mark.parametrize("name", names(FOLDER))
@pytest.mark.parametrize("engine", ["office", "postgresql_office"])
def test_the_transcript_goes_as_written(engine: str, name: str, request: pytest.FixtureRequest) -> None:
    _play(request.getfixturevalue(engine), FOLDER / f"{name}.txt")


@pytest.mark.usefixtures("certificates")
@pytest.mark.parametrize("name", names(FOLDER / "sqlite"))
def test_the_transcript_on_sqlite_goes_as_written(name: str, office: Office) -> None:
    _play(office, FOLDER / "sqlite" / f"{name}.txt")


@pytest.mark.usefixtures("certificates")
@pytest.mark.parametrize("name", names(FOLDER / "new"))
def test_the_transcript_of_an_empty_folder_goes_as_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without a configuration file, relative paths begin at the folder of the process.
    monkeypatch.chdir(tmp_path)

    _play(Office(tmp_path), FOLDER / "new" / f"{name}.txt")


def _play(office: Office, file: Path) -> None:
    transcript = parse(file.read_text())
    for name, content in transcript.files.items():
        (office.folder / name).write_text(content)
    player = Player(office)
    for step in transcript.steps:
        played = player.play(step)

        assert step == played

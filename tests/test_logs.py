"""What the process says of itself: one event a line, and no secrets out of local variables."""

import json
from contextlib import suppress
from io import StringIO
from pathlib import Path

import pytest
import structlog

from aldaba.logs import set_up_logs


def fail_with_a_secret() -> None:
    api_key = "aldk_" + "s3cret" * 8
    raise RuntimeError(f"failed with a key of {len(api_key)} characters")


@pytest.fixture(autouse=True)
def _as_before():  # type: ignore[no-untyped-def]
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_local_variables(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(form, "info")
    try:
        fail_with_a_secret()
    except RuntimeError:
        structlog.get_logger().exception("it failed")
    written = capsys.readouterr().err

    assert "it failed" in written
    assert "RuntimeError" in written
    assert "s3cret" not in written


def test_json_is_one_object_a_line_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs("json", "info")
    structlog.get_logger().warning("refused", detail="one\nline\r\nforged")
    structlog.get_logger().debug("not written")
    (line,) = capsys.readouterr().err.splitlines()

    assert "one\nline\r\nforged" == json.loads(line)["detail"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_k2_a_log_that_cannot_be_written_stops_nobody(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request that something was said of had no answer at all when standard error was full or gone."""
    gone = StringIO()
    gone.close()
    full = Path("/dev/full").open("w")  # noqa: SIM115 - closing it fails, too
    try:
        set_up_logs(form, "info")
        for stream in (full, gone):
            monkeypatch.setattr("sys.stderr", stream)
            structlog.get_logger().warning("refused")
            monkeypatch.undo()
    finally:
        with suppress(OSError):
            full.close()


def test_the_log_goes_where_standard_error_is_now(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Standard error may be replaced after the logs were set up."""
    set_up_logs("json", "info")
    with StringIO() as now:
        monkeypatch.setattr("sys.stderr", now)
        structlog.get_logger().warning("refused")
        monkeypatch.undo()

        assert "refused" == json.loads(now.getvalue())["event"]
    assert "" == capsys.readouterr().err

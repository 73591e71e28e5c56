"""What the process says of itself: one event a line, and no secrets out of local variables."""

import json

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

"""Parts that a test needs and a machine may lack: nginx, HAProxy, Redis, Chromium, ..."""

import os
import shutil
from pathlib import Path

import pytest

# Where Debian puts servers, which is not on everybody's PATH.
_PLACES = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"))

# Other names of the same program.
_NAMES = {
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
    "redis-server": ("redis-server", "valkey-server"),
}


def needs(program: str) -> Path:
    """Return where a program is, for a test or a fixture that starts it.

    Without it the test is skipped, and listed as skipped at the end of the run.
    With `REQUIRE_ALL=1`, as the CI runs, a missing part is a failure.
    """
    for name in _NAMES.get(program, (program,)):
        if found := shutil.which(name, path=_PLACES):
            return Path(found)
    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(f"{program} is missing, and REQUIRE_ALL=1 allows no missing part", pytrace=False)
    pytest.skip(f"{program} is not installed")

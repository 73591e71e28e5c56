"""The installations that recorded exchanges are played in, each started when the first one asks for it."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from tests.served import Served, serving_installation

_SERVICES = """
[services.fleet]
[services.fleet-trial]
dialect = "fleet"
[services.fleet-host]
dialect = "fleet"
host = "api.fleet.example"
[services.use-case-17]
dialect = "mobility"
token_lifetime = "1h"
[services.use-case-12]
dialect = "mobility"
"""
_STRAINED = """
[ledger]
capacity = 1
max_batch = 1

[services.fleet]
[services.fleet-broken]
dialect = "fleet"
[services.fleet-sealed]
dialect = "fleet"
[services.use-case-17]
dialect = "mobility"
[services.use-case-12]
dialect = "mobility"
[services.use-case-99]
dialect = "mobility"
"""
_PROXY = """
[proxy]
trusted = ["127.0.0.1"]
certificate_header = "rfc9440"
"""

HOUSES: Mapping[str, Mapping[str, Any]] = {
    "usual": {"services": _SERVICES},
    "strained": {"services": _STRAINED, "timeout": "600ms"},
    "behind a proxy": {"services": _PROXY + _SERVICES},
}


@pytest.fixture(scope="session")
def houses(
    migrated_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Callable[[], Served]]]:
    """Give the serving installations by name."""
    with ExitStack() as stack:

        def start(name: str) -> Served:
            directory = tmp_path_factory.mktemp(name.replace(" ", "-"))
            shutil.copy(migrated_file, directory / "aldaba.db")
            return stack.enter_context(serving_installation(directory, "sqlite:///aldaba.db", **HOUSES[name]))

        started = cache(start)
        yield {name: partial(started, name) for name in HOUSES}


@pytest.fixture
def served(houses: Mapping[str, Callable[[], Served]]) -> Served:
    """Give the usual installation."""
    return houses["usual"]()

"""The installations that bad input is sent to, each started once and when the first test asks for it."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from aldaba.crypto.certificates.authority import Authority
from tests.served import Served, serving_installation

REVOKED_SERIAL = 0x1234567890ABCDEF
SERVICES = """
[services.fleet]
requests_per_minute = 0
[services.fleet-trial]
dialect = "fleet"
requests_per_minute = 0
[services.mobility]
requests_per_minute = 0
[services.use-case-17]
dialect = "mobility"
requests_per_minute = 0
"""


@contextmanager
def _serving(
    migrated_file: Path,
    factory: pytest.TempPathFactory,
    *,
    more: str = "",
    files: Mapping[str, bytes] | None = None,
    **settings: object,
) -> Iterator[Served]:
    directory = factory.mktemp("served")
    shutil.copy(migrated_file, directory / "aldaba.db")
    for name, content in (files or {}).items():
        (directory / name).write_bytes(content)
    with serving_installation(directory, "sqlite:///aldaba.db", more + SERVICES, **settings) as served:  # type: ignore[arg-type]
        yield served


@pytest.fixture(scope="session")
def served(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Give an installation without a limit on failures, so that each test may make its own."""
    with _serving(migrated_file, tmp_path_factory) as running:
        yield running


@pytest.fixture(scope="session")
def guarded(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Give an installation with the usual limit on failures, behind a proxy at 127.0.0.1 and nowhere else."""
    proxy = '[proxy]\ntrusted = ["127.0.0.1"]\ncertificate_header = "rfc9440"\n'
    with _serving(migrated_file, tmp_path_factory, more=proxy, failures_per_minute=30) as running:
        yield running


@pytest.fixture(scope="session")
def behind_nginx(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Give an installation that believes an nginx at 127.0.0.1."""
    proxy = '[proxy]\ntrusted = ["127.0.0.1"]\ncertificate_header = "nginx"\n'
    with _serving(migrated_file, tmp_path_factory, more=proxy) as running:
        yield running


@pytest.fixture
def fresh(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Give an installation for one test, which changes what all clients share."""
    with _serving(migrated_file, tmp_path_factory) as running:
        yield running


@pytest.fixture
def listed(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Give an installation with the first revocation list of its authority, in `ca.crl`; it lists `REVOKED_SERIAL`."""
    authority = Authority.create("Authority of the tests")
    files = {"ca.crl": authority.crl([REVOKED_SERIAL], number=1)}
    with _serving(
        migrated_file, tmp_path_factory, files=files, authority=authority, mtls_settings='crls = ["ca.crl"]'
    ) as running:
        yield running

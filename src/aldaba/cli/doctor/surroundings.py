"""What is around the program: disk, listeners, the counters' storage, the place for checkpoints."""

import os
import shutil
import time
from collections.abc import Iterator
from ipaddress import ip_address

from limits.errors import StorageError

from aldaba.cli.doctor.findings import Finding, advice, good, wrong
from aldaba.config import Config
from aldaba.core.limits import storage_for
from aldaba.model.services import Fact
from aldaba.server import services_of
from aldaba.store.database import engine_for
from aldaba.store.engines.sqlite import Sqlite

_MIB = 1024 * 1024
SHORT_OF_SPACE = 100 * _MIB
GETTING_SHORT = 1024 * _MIB


def look(config: Config) -> Iterator[Finding]:
    """Look at what the settings stand on."""
    yield from _disk(config)
    yield from _listeners(config)
    yield from _certificate_services(config)
    yield _checkpoints(config)


def _disk(config: Config) -> Iterator[Finding]:
    engine = engine_for(config.database.url.reveal())
    if not isinstance(engine, Sqlite) or not engine.path.parent.is_dir():
        return
    free = shutil.disk_usage(engine.path.parent).free
    text = f"{free // _MIB} MiB are free where the database is"
    if free < SHORT_OF_SPACE:
        yield wrong(text, "make room: on a full disk nothing can be recorded, and so nothing is answered")
    elif free < GETTING_SHORT:
        yield advice(text, "make room before the audit log fills it")
    else:
        yield good(text)


def _listeners(config: Config) -> Iterator[Finding]:
    public = config.server.public
    if not config.tls.certificate and not _is_loopback(public.host) and not config.proxy.trusted:
        yield advice(
            f"{public} listens to the network without TLS, so API keys and tokens travel in clear",
            "set tls.certificate and tls.key, or listen on 127.0.0.1 behind a proxy named in proxy.trusted",
        )
    if not _is_loopback(config.server.management.host):
        yield advice(
            f"{config.server.management} shows metrics and health to the network",
            "keep server.management on 127.0.0.1, or behind a firewall",
        )


def _certificate_services(config: Config) -> Iterator[Finding]:
    if config.server.mtls or config.proxy.certificate_header != "none":
        return
    names = [
        service.name for service in services_of(config).values() if service.shape.name_of(Fact.CONFIRMATION) is not None
    ]
    for name in names:
        yield wrong(
            f"service {name} wants client certificates, and nothing asks for them",
            "set server.mtls with [mtls], or proxy.certificate_header where a proxy asks for them",
        )


def _checkpoints(config: Config) -> Finding:
    file = config.audit.checkpoint_file
    if file is None:
        return advice(
            "signed checkpoints of the audit log are kept in the database only, so setting it back goes unnoticed",
            "name a file on other storage in audit.checkpoint_file",
        )
    place = file if file.exists() else file.parent
    if not os.access(place, os.W_OK):
        return wrong(f"audit.checkpoint_file {file} cannot be written", f"make {place} writable for the server")
    return good(f"checkpoints of the audit log are kept in {file}")


async def counters(config: Config) -> Finding:
    """Ask the storage of the counters against guessing whether it is there."""
    url = config.limits.storage
    storage = storage_for(url.reveal(), capacity=1000, now=time.time)
    try:
        await storage.get("doctor")
    except (StorageError, OSError) as error:
        return wrong(
            f"the counters against guessing do not answer: {url} ({type(error.__cause__ or error).__name__})",
            "start that server or correct limits.storage; without it no API key is accepted",
        )
    finally:
        await storage.close()
    return good(f"the counters against guessing answer: {url}")


def _is_loopback(host: str) -> bool:
    return host == "localhost" or ip_address(host).is_loopback

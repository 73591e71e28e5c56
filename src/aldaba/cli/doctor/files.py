"""The files an installation stands on: who can read them, whether certificates are good and will be."""

import ssl
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from aldaba.cli.doctor.findings import Finding, advice, good, wrong
from aldaba.config import Config
from aldaba.core.trust import Trust
from aldaba.crypto.certificates import Policy
from aldaba.crypto.master_key import MasterKeyError, load_master_key
from aldaba.errors import Impossible
from aldaba.store.database import engine_for
from aldaba.store.engines.sqlite import Sqlite

# Certificates take a while to renew where people must be asked.
SOON = timedelta(days=30)


def look(config: Config, config_file: Path | None) -> Iterator[Finding]:
    """Look at every file that the settings name."""
    yield from _modes(config, config_file)
    yield from _master_key(config)
    for name, tls in (("tls", config.tls), ("mtls", config.mtls)):
        if tls.certificate and tls.key:
            yield from _server_certificate(name, tls.certificate, tls.key)
    if config.mtls.anchors:
        yield from _trust(config)


def _modes(config: Config, config_file: Path | None) -> Iterator[Finding]:
    private = [config.tls.key, config.mtls.key]
    engine = engine_for(config.database.url.reveal())
    if isinstance(engine, Sqlite):
        private.append(engine.path)
    has_password = any(url.reveal() != url.masked for url in (config.database.url, config.limits.storage))
    if has_password:
        private.append(config_file)
    open_files = [file for file in private if file and file.exists() and stat.S_IMODE(file.stat().st_mode) & 0o077]
    for file in open_files:
        yield wrong(f"{file} can be used by others of this machine", f"run chmod 600 {file}")
    if not open_files:
        yield good("files with secrets are their owner's alone")


def _master_key(config: Config) -> Iterator[Finding]:
    try:
        load_master_key(config.keys.master_key_file)
    except MasterKeyError as error:
        yield wrong(f"the master key cannot be used: {error}", "without it nothing is signed and no key is recognised")
    else:
        yield good("the master key can be read, by its owner alone")


def _server_certificate(name: str, certificate: Path, key: Path) -> Iterator[Finding]:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
        chain = x509.load_pem_x509_certificates(certificate.read_bytes())
    except (OSError, ValueError) as error:
        # ssl.SSLError is an OSError; its text names neither file nor secret.
        yield wrong(
            f"{name}.certificate {certificate} and {name}.key do not serve together: {error}",
            "put the certificate with its chain, and the key that belongs to it, into these files",
        )
        return
    ends_at = min(one.not_valid_after_utc for one in chain)
    yield _ending(
        f"{name}.certificate {certificate}", ends_at, "renew it; the server takes over the new file by itself"
    )


def _trust(config: Config) -> Iterator[Finding]:
    try:
        trust = Trust(config.mtls.anchors, config.mtls.crls, Policy())
        anchors = [one for file in config.mtls.anchors for one in x509.load_pem_x509_certificates(file.read_bytes())]
    except (Impossible, OSError, ValueError) as error:
        yield wrong(str(error), "correct the file; the server does not start with it")
        return
    ends_at = min((one.not_valid_after_utc for one in anchors), default=datetime.max.replace(tzinfo=UTC))
    yield _ending("the first of mtls.anchors to end", ends_at, "ask its authority for the next one, and add it")
    for text in trust.lists_due(datetime.now(UTC)):
        yield wrong(text, "fetch the authority's new list into its file of mtls.crls")
    if not config.mtls.crls:
        yield advice(
            "no revocation list is configured, so a certificate that its authority revoked is still accepted",
            "name the authorities' lists in mtls.crls",
        )


def _ending(what: str, ends_at: datetime, todo: str) -> Finding:
    now = datetime.now(UTC)
    if ends_at <= now:
        return wrong(f"{what} ended at {ends_at:%Y-%m-%d}", todo)
    if ends_at <= now + SOON:
        return advice(f"{what} ends at {ends_at:%Y-%m-%d}", todo)
    return good(f"{what} is good until {ends_at:%Y-%m-%d}")

"""TLS: the contexts of the listeners, their reload, and what the other side of a connection has shown.

OpenSSL checks the chain of a client certificate and the possession of its key. What the certificate is good for, and
whether it still is, the application checks on every request, since a connection lives longer than a decision.
"""

import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import structlog

from aldaba.errors import Impossible

log = structlog.get_logger()

Version = Literal["1.2", "1.3"]

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
# For TLS 1.2: forward secrecy and authenticated encryption only.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_DER = 2


def server_context(certificate: Path, key: Path, minimum_version: Version = "1.3") -> ssl.SSLContext:
    """Return a context for HTTPS, which asks for no client certificate.

    Raises:
        Impossible: the files cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[minimum_version]
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    _load(context, certificate, key)
    return context


def mutual_context(
    certificate: Path, key: Path, anchors: Iterable[bytes], minimum_version: Version = "1.3"
) -> ssl.SSLContext:
    """Return a context that asks for a client certificate and takes none as well as a good one.

    A caller without one is refused by the application, in the words of its dialect. Revocation lists are no part of
    this: a missing one would refuse everybody, without an answer, where a setting says how to go on.

    Args:
        anchors: certificates in DER that a chain may end in: of authorities, or of single clients. The system's are
            never used (threats C3).

    Raises:
        Impossible: the files or an anchor cannot be used.
    """
    context = server_context(certificate, key, minimum_version)
    context.verify_mode = ssl.CERT_OPTIONAL
    # A registered certificate may be the anchor itself, whoever issued it.
    context.verify_flags = ssl.VERIFY_X509_TRUSTED_FIRST | ssl.VERIFY_X509_PARTIAL_CHAIN
    # No resumption. A ticket of TLS 1.3 does not hold the chain the client sent, so that a resumed connection would
    # have a leaf nobody can verify; tickets that refer to a session in memory hold it, but need up to 20,480 sessions
    # kept, and do not work with several processes. TLS 1.2 still resumes sessions by id: these hold the chain.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    data = b"".join(anchors)
    try:
        if data:
            context.load_verify_locations(cadata=data)
    except ssl.SSLError as error:
        raise Impossible(f"an anchor is no certificate: {error.reason}") from error
    return context


def _load(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    for file in (certificate, key):
        try:
            file.read_bytes()
        except OSError as error:
            raise Impossible(f"{file} cannot be read: {error.strerror}") from error
    try:
        context.load_cert_chain(certificate, key, password=_refuse_password)
    except ssl.SSLError as error:
        raise Impossible(f"{certificate} and {key} are no certificate and its key in PEM: {error.reason}") from error


def _refuse_password() -> str:
    # Without this OpenSSL asks on the terminal, and the server waits there for ever.
    raise Impossible("the private key is encrypted: store it in clear, readable by the server only")


class ReloadingContext:
    """The context in force, built again when its files change.

    Every connection is accepted with the context that is in force then; older ones keep theirs.

    Args:
        build: makes a context; it may read more than the files.
        files: to be looked at for changes.

    Raises:
        Impossible: there is none to begin with.
    """

    def __init__(self, build: Callable[[], ssl.SSLContext], files: Iterable[Path]) -> None:
        self._build = build
        self._files = tuple(files)
        self._seen = self._stamps()
        self.current = build()

    def follow(self) -> bool:
        """Reload if the files have changed since the last look; return whether there is a new context."""
        stamps = self._stamps()
        if stamps == self._seen:
            return False
        self._seen = stamps
        return self.reload()

    def reload(self) -> bool:
        """Build a new context; one that cannot be built leaves the old one in force and is reported."""
        try:
            self.current = self._build()
        except (Impossible, OSError, ValueError) as error:
            # Whatever reading half-written files may raise: the old context is good, and a server goes on.
            log.error("the TLS certificates in force stay: changed ones cannot be used", error=str(error))
            return False
        log.info("TLS certificates taken over")
        return True

    def _stamps(self) -> list[tuple[int, int, int]]:
        return [_stamp(file) for file in self._files]


def _stamp(file: Path) -> tuple[int, int, int]:
    try:
        status = file.stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_size, status.st_ino)


def shown_by_peer(ssl_object: ssl.SSLObject) -> dict[str, Any]:
    """Return what the other side has shown: `certificate` and `chain` in DER, and the TLS `version`.

    The chain is what was sent with the certificate, without it. Nothing is said of whether it is good.
    """
    certificate = ssl_object.getpeercert(binary_form=True)
    chain = () if certificate is None else tuple(der for der in _unverified_chain(ssl_object) if der != certificate)
    return {"certificate": certificate, "chain": chain, "version": ssl_object.version()}


def _unverified_chain(ssl_object: Any) -> list[bytes]:
    # Public from Python 3.13 on, with DER; before, the same function has objects and is one level down.
    public = getattr(ssl_object, "get_unverified_chain", None)
    if public is not None:
        return list(public() or ())
    found = ssl_object._sslobj.get_unverified_chain()
    return [certificate.public_bytes(_DER) for certificate in found or ()]

"""Serves one of the bare applications with stock uvicorn: `python -m benchmarks.bare_server FILE`.

The file says in JSON which application, where, and under which certificate, if under one.
"""

import ssl
import sys
from pathlib import Path

import msgspec
import uvicorn

from benchmarks import bare


class BareServer(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What is served: a `body` for good tokens, or tokens for the one client."""

    port: int
    user_name: str = ""
    api_key: str = ""
    body: str = ""
    certificate: str | None = None
    key: str | None = None
    anchors: str | None = None


def main() -> None:
    """Serve until SIGTERM."""
    asked = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=BareServer)
    app = bare.checking(asked.body.encode()) if asked.body else bare.issuing(asked.user_name, asked.api_key)
    uvicorn.run(
        app,
        port=asked.port,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
        ssl_certfile=asked.certificate,
        ssl_keyfile=asked.key,
        ssl_ca_certs=asked.anchors,
        ssl_cert_reqs=ssl.CERT_REQUIRED if asked.anchors else ssl.CERT_NONE,
    )


if __name__ == "__main__":
    main()

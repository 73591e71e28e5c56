"""nginx that asks for client certificates: what the same handshake costs in a server written in C."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.processes import Server, free_port, running

# Where Debian puts it, which is not on everybody's PATH.
_PLACES = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"))

# As our own listener has it: TLS 1.3, no resumption.
_SETTINGS = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificates}/server.pem;
        ssl_certificate_key {certificates}/server.key;
        ssl_client_certificate {certificates}/ca.pem;
        ssl_verify_client on;
        ssl_protocols TLSv1.3;
        ssl_session_cache off;
        ssl_session_tickets off;
        ssl_conf_command Options -SessionTicket;
        default_type application/json;
        location / {{ return 200 '{body}'; }}
    }}
}}
"""


def program() -> str | None:
    """Return where nginx is."""
    return shutil.which("nginx", path=_PLACES)


@contextmanager
def running_nginx(folder: Path, certificates: Path, *, body_size: int) -> Iterator[Server]:
    """Serve a body of that size under the certificates of an installation."""
    folder.mkdir()
    port = free_port()
    # The worker, which is another user, makes its folders here.
    folder.chmod(0o755)
    settings = folder / "nginx.conf"
    settings.write_text(_SETTINGS.format(folder=folder, certificates=certificates, port=port, body="x" * body_size))
    command = [program() or "nginx", "-p", str(folder), "-c", str(settings)]
    with running(command, port=port) as server:
        yield server

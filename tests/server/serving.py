"""A server in a process of its own, as an operator starts it."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2


def free_port() -> int:
    """Return a port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Served:
    """A running server."""

    process: subprocess.Popen[bytes]
    url: str
    management: str
    log: Path

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(30)


@asynccontextmanager
async def served(directory: Path, environ: Mapping[str, str]) -> AsyncIterator[Served]:
    """Run `aldaba serve` with these settings, and stop it at the end."""
    port, management = free_port(), free_port()
    log = directory / f"server-{port}.log"
    settings = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": "src",
        "ALDABA_SERVER_PUBLIC": f"127.0.0.1:{port}",
        "ALDABA_SERVER_MANAGEMENT": f"127.0.0.1:{management}",
        **environ,
    }
    process = _start(settings, log)
    running = Served(process, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{management}", log)
    try:
        await _until_ready(running)
        yield running
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)


def _start(settings: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen([sys.executable, "-m", "aldaba", "serve"], env=settings, stderr=output, stdout=output)


async def _until_ready(running: Served) -> None:
    deadline = time.monotonic() + 60
    async with httpx2.AsyncClient() as client:
        while time.monotonic() < deadline:
            if running.process.poll() is not None:
                raise RuntimeError(f"the server ended: {running.log.read_text()}")
            try:
                if (await client.get(f"{running.url}/health/ready")).status_code == 200:
                    return
            except httpx2.TransportError:
                await asyncio.sleep(0.1)
    raise RuntimeError(f"the server did not become ready: {running.log.read_text()}")


def children(process: int) -> list[int]:
    """Return the processes that a process has started."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
        except OSError:
            continue
        if re.search(rf"^PPid:\t{process}$", text, re.MULTILINE):
            found.append(int(status.parent.name))
    return found

"""Loads a server from the other core, and reads what came of it.

`wrk` speaks HTTP; for client certificates, which it cannot show, there is a generator of our own (`tls_load`).
"""

import resource
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.processes import CORES, Server, on_core, python

CONNECTIONS = 32

# What wrk says at the end, as one line of JSON.
_DONE = """
done = function(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format('\\n{"requests":%d,"seconds":%.6f,"p50_ms":%.4f,"p99_ms":%.4f,"wrong":%d}\\n',
      summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


class Said(msgspec.Struct, frozen=True):
    """What a generator counted."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    wrong: int


class Measured(msgspec.Struct, frozen=True):
    """One spell of load.

    Args:
        cpu_us: processor time of the server for one request.
        beside_us: processor time of the database beside it for one request, on the core of the load.
        load_busy: how much of that core was used; near 1 the server could have done more.
    """

    requests: int
    per_second: float
    cpu_us: float
    beside_us: float
    p50_ms: float
    p99_ms: float
    load_busy: float


def with_wrk(server: Server, script: str, seconds: float, beside: Server | None = None) -> Measured:
    """Load a server with wrk, following a script in Lua."""
    # wrk counts in whole seconds.
    duration = f"{max(1, round(seconds))}s"
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script + _DONE)
        file.flush()
        url = f"http://127.0.0.1:{server.port}"
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{duration}", "-s", file.name, url]
        return measure(server, command, beside)


def with_certificates(server: Server, plan: Path, seconds: float) -> Measured:
    """Load a server with our own generator, which shows client certificates."""
    return measure(server, python("benchmarks.tls_load", str(plan), str(seconds)))


def measure(server: Server, command: Sequence[str], beside: Server | None = None) -> Measured:
    """Run a generator on its core, and relate what it counted to what the server used meanwhile.

    Args:
        beside: a server on the core of the load that the one under measurement calls.

    Raises:
        RuntimeError: an answer was not what was asked for.
    """
    began, server_s, beside_s, load_s = time.perf_counter(), server.cpu_s(), _cpu_s(beside), _children_s()
    with on_core(CORES.load):
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    took_s = time.perf_counter() - began
    server_s, beside_s, load_s = server.cpu_s() - server_s, _cpu_s(beside) - beside_s, _children_s() - load_s
    said = msgspec.json.decode(done.stdout.strip().splitlines()[-1], type=Said)
    if said.wrong or not said.requests:
        raise RuntimeError(f"{said.wrong} of {said.requests} answers were wrong:\n{done.stdout}")
    return Measured(
        requests=said.requests,
        per_second=said.requests / said.seconds,
        cpu_us=server_s / said.requests * 1e6,
        beside_us=beside_s / said.requests * 1e6,
        p50_ms=said.p50_ms,
        p99_ms=said.p99_ms,
        load_busy=(load_s + beside_s) / took_s,
    )


def _cpu_s(server: Server | None) -> float:
    return 0.0 if server is None else server.cpu_s()


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime

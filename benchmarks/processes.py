"""Processes of a measurement: each on its core, ended at the end, and what the system says they have used."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_START_LIMIT_S = 60.0
_STOP_LIMIT_S = 15.0
_POLL_S = 0.002

NO_VARIABLES: Mapping[str, str] = MappingProxyType({})


class Cores:
    """Which core serves and which one loads; the same one where the machine has no other."""

    def __init__(self) -> None:
        cores = sorted(os.sched_getaffinity(0))
        self.server = cores[0]
        self.load = cores[-1]
        self.all = set(cores)


CORES = Cores()


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Let the processes that are started inside run on one core: they inherit it."""
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, CORES.all)


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A server under measurement, with the processes it has started itself."""

    def __init__(self, pid: int, *, port: int = 0, start_s: float = 0.0) -> None:
        self.pid = pid
        self.port = port
        self.start_s = start_s

    def cpu_s(self) -> float:
        """Return the processor time used so far: all threads, all processes, in the kernel and outside."""
        return sum(cpu_s_of(pid) for pid in family(self.pid))

    def rss_mib(self) -> float:
        """Return the memory that is resident now."""
        return sum(_status_mib(pid, "VmRSS") for pid in family(self.pid))

    def peak_mib(self) -> float:
        """Return the most memory that was ever resident."""
        return sum(_status_mib(pid, "VmHWM") for pid in family(self.pid))


def cpu_s_of(pid: int) -> float:
    """Return the processor time of one process so far."""
    # The name of the program, in parentheses, may hold anything: what counts comes after it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(descendant for child in children for descendant in family(int(child)))]


def _status_mib(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


@contextmanager
def running(
    command: Sequence[str], *, port: int, core: int = CORES.server, variables: Mapping[str, str] = NO_VARIABLES
) -> Iterator[Server]:
    """Start a server, wait until it accepts connections, and end it after the block."""
    began = time.perf_counter()
    with on_core(core):
        process = subprocess.Popen(command, env={**os.environ, **variables}, stdout=subprocess.DEVNULL)
    try:
        _await_listener(process, port)
        yield Server(process.pid, port=port, start_s=time.perf_counter() - began)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_listener(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.perf_counter() + _START_LIMIT_S
    while time.perf_counter() < until:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} has ended with status {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except ConnectionRefusedError:
            time.sleep(_POLL_S)
    raise RuntimeError(f"{process.args!r} does not listen on port {port}")


def python(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of ours with this interpreter."""
    return [sys.executable, "-m", module, *arguments]

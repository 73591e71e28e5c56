"""Says where the processor time of our server goes, for the texts on what limits it.

`cProfile` counts functions and adds its own cost to each call, so its shares lean towards small functions; `perf`
samples from outside and shows the interpreter, the libraries and the kernel, but no functions of Python.
"""

import os
import pstats
import shutil
import signal
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.aldaba_server import LEDGER, PROFILE
from benchmarks.contenders import Contender
from benchmarks.stage import Stage

_LINES = 45
_WARM_UP_S = 1.0


def profile(contender: Contender, seconds: float) -> str:
    """Load a contender twice, under cProfile and under perf, and return what they say."""
    with tempfile.TemporaryDirectory(prefix="aldaba-bench-") as directory:
        folder = Path(directory)
        texts = [_functions(contender, folder, seconds)]
        texts += [_symbols(contender, folder, seconds)] if shutil.which("perf") else ["perf is not installed"]
        return "\n\n".join(texts)


def _functions(contender: Contender, folder: Path, seconds: float) -> str:
    file = folder / "profile"
    with ExitStack() as stack:
        stage = Stage(folder / "counted", stack, variables={PROFILE: str(file)})
        load = contender.load(stage)
        load(_WARM_UP_S)
        os.kill(contender.server(stage).pid, signal.SIGUSR1)
        requests = load(seconds).requests
    texts = [_counted(file, "the loop", requests)]
    ledger = file.with_suffix(f".{LEDGER}")
    if ledger.exists():
        # Its thread was counted through the warm-up too: as many events as links of the chain.
        texts.append(_counted(ledger, "the thread of the ledger", _calls(ledger, "link") or requests))
    return "\n\n".join(texts)


def _counted(file: Path, what: str, requests: int) -> str:
    counts = _stats(file)
    rows = sorted(counts.items(), key=lambda item: -item[1][2])[:_LINES]
    lines = [f"-- {what}, {requests} requests: microseconds in itself, with what it calls, calls; each for one request"]
    for (path, number, name), (_primitive, calls, own, cumulative, _callers) in rows:
        place = f"{Path(path).name}:{number} {name}" if number else name
        own_us, all_us = own / requests * 1e6, cumulative / requests * 1e6
        lines.append(f"{own_us:8.2f} {all_us:8.2f} {calls / requests:6.2f}  {place}")
    return "\n".join(lines)


def _calls(file: Path, function: str) -> int:
    """Return how often a function of a file named `audit.py` was called."""
    found = [
        row for (path, _number, name), row in _stats(file).items() if (Path(path).name, name) == ("audit.py", function)
    ]
    return max((row[1] for row in found), default=0)


def _stats(file: Path) -> dict[tuple[str, int, str], Any]:
    counts: dict[tuple[str, int, str], Any] = pstats.Stats(str(file)).stats  # type: ignore[attr-defined]
    return counts


def _symbols(contender: Contender, folder: Path, seconds: float) -> str:
    samples = folder / "perf.data"
    with ExitStack() as stack:
        stage = Stage(folder / "sampled", stack)
        load = contender.load(stage)
        load(_WARM_UP_S)
        pid = str(contender.server(stage).pid)
        command = ["perf", "record", "-q", "-F", "1000", "-e", "cpu-clock", "-g", "-o", str(samples), "-p", pid]
        sampling = subprocess.Popen(command)
        measured = load(seconds)
        sampling.terminate()
        sampling.wait()
    return "\n\n".join([str(measured), *(_report(samples, by) for by in ("dso", "symbol"))])


def _report(samples: Path, by: str) -> str:
    command = ["perf", "report", "-i", str(samples), "--no-children", "--sort", by, "-g", "none", "--stdio"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [line.rstrip(" -") for line in said.splitlines() if line.strip() and not line.startswith("#")]
    return f"-- by {by}\n" + "\n".join(lines[:_LINES])

"""Does memory grow under load: what is resident, every few seconds, while tokens are issued and checked."""

import subprocess
import tempfile
import time

import msgspec

from benchmarks import scripts
from benchmarks.load import CONNECTIONS
from benchmarks.processes import CORES, on_core
from benchmarks.stage import FEW, Stage

LIMIT_MIB = 100.0
_EVERY_S = 5.0
# What is resident at the end is held against what was at this part of the time, when the caches have filled.
_SETTLED = 1 / 3
_FLAT_MIB = 2.0


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What was resident under load, in the order of time."""

    resident_mib: list[float]
    every_s: float
    peak_mib: float
    growth_mib: float
    reached: bool


def run(stage: Stage, seconds: float) -> Memory:
    """Load a server with a thousand clients, who ask for tokens and use them."""
    server = stage.few_clients.server
    every_s = min(_EVERY_S, seconds / 3)
    resident = [server.rss_mib()]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file, on_core(CORES.load):
        file.write(scripts.tokens_and_checks(FEW))
        file.flush()
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "-s", file.name]
        load = subprocess.Popen([*command, f"http://127.0.0.1:{server.port}"], stdout=subprocess.DEVNULL)
        until = time.monotonic() + seconds
        while time.monotonic() + every_s <= until + 0.1:
            time.sleep(every_s)
            resident.append(server.rss_mib())
        load.wait()
    growth = resident[-1] - resident[max(1, round(len(resident) * _SETTLED))]
    peak = server.peak_mib()
    reached = peak <= LIMIT_MIB and growth <= _FLAT_MIB
    return Memory(resident_mib=resident, every_s=every_s, peak_mib=peak, growth_mib=growth, reached=reached)

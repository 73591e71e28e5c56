"""Measures the contenders in turn, round after round, so that what disturbs one disturbs them all."""

from collections.abc import Sequence
from statistics import median

import msgspec

from benchmarks.contenders import BARE, Contender
from benchmarks.load import Measured
from benchmarks.stage import Stage

_WARM_UP_S = 1.0
# From here on the load was the bottleneck, and only the processor time can be compared.
_BUSY = 0.9
BY_CPU = "processor time"


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table.

    Args:
        speed: requests a second, as a share of those of `against`.
        thrift: how much less processor time a request takes than with `against`, as the same kind of share.
        by: which of the two was judged.
    """

    name: str
    title: str
    measured: Measured
    peak_mib: float
    start_s: float
    against: str = ""
    speed: float | None = None
    thrift: float | None = None
    by: str = ""
    target: str = ""
    reached: bool | None = None


def run(stage: Stage, contenders: Sequence[Contender], *, rounds: int, seconds: float) -> list[Line]:
    """Measure the contenders and judge what came of it."""
    loads = {contender.name: contender.load(stage) for contender in contenders}
    seen: dict[str, list[Measured]] = {name: [] for name in loads}
    for load in loads.values():
        load(min(_WARM_UP_S, seconds))
    for number in range(rounds):
        # Back and forth: whoever comes later finds the machine warmer, or the disk fuller.
        for name in list(loads)[:: -1 if number % 2 else 1]:
            seen[name].append(loads[name](seconds))
    return [_line(stage, contender, seen) for contender in contenders]


def _line(stage: Stage, contender: Contender, seen: dict[str, list[Measured]]) -> Line:
    server, measured = contender.server(stage), _medians(seen[contender.name])
    line = Line(
        name=contender.name,
        title=contender.title,
        measured=measured,
        peak_mib=server.peak_mib(),
        start_s=server.start_s,
        target=_target(contender),
    )
    if not contender.against:
        return msgspec.structs.replace(line, reached=_is_reached(contender, line, 0.0))
    pairs = list(zip(seen[contender.name], seen[contender.against], strict=True))
    speed = median(ours.per_second / theirs.per_second for ours, theirs in pairs)
    thrift = median(theirs.cpu_us / ours.cpu_us for ours, theirs in pairs)
    load_was_busy = max(measured.load_busy, _medians(seen[contender.against]).load_busy) > _BUSY
    line = msgspec.structs.replace(
        line, against=contender.against, speed=speed, thrift=thrift, by=BY_CPU if load_was_busy else "requests/s"
    )
    return msgspec.structs.replace(line, reached=_is_reached(contender, line, thrift if load_was_busy else speed))


def _is_reached(contender: Contender, line: Line, share: float) -> bool | None:
    verdicts = [
        contender.at_least is None or share >= contender.at_least,
        contender.at_most is None or line.thrift is None or line.thrift * contender.at_most >= 1,
        contender.p99_ms is None or line.measured.p99_ms < contender.p99_ms,
        contender.start_s is None or line.start_s <= contender.start_s,
    ]
    return all(verdicts) if line.target else None


def _target(contender: Contender) -> str:
    parts = []
    if contender.at_least is not None:
        parts.append(f"{contender.at_least:.2f} x {'bare' if contender.against == BARE else contender.against}")
    if contender.at_most is not None:
        parts.append(f"{contender.at_most:g} x the CPU of {contender.against}")
    if contender.p99_ms is not None:
        parts.append(f"p99 < {contender.p99_ms:g} ms")
    if contender.start_s is not None:
        parts.append(f"start in {contender.start_s:g} s")
    return ", ".join(parts)


def _medians(seen: Sequence[Measured]) -> Measured:
    columns = zip(*map(msgspec.structs.astuple, seen), strict=True)
    return Measured(*(median(column) for column in columns))

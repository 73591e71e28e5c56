"""The one table, as Markdown for people and as JSON for programs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from benchmarks.memory import LIMIT_MIB, Memory
from benchmarks.rounds import BY_CPU, Line
from benchmarks.stage import MANY

_HEADINGS = (
    "work",
    "requests/s",
    "server CPU",
    "p50",
    "p99",
    "speed",
    "by CPU",
    "to reach",
    "reached",
    "peak memory",
    "start-up",
    "load core",
)


# In a document, the table stands between these.
_BEGIN, _END = "<!-- begin: make bench -->\n", "<!-- end: make bench -->\n"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was measured in one run, and what was not, with the reason."""

    rounds: int
    seconds: float
    many: int
    lines: Sequence[Line]
    memory: Memory | None
    skipped: Mapping[str, str]


def write(report: Report, file: Path) -> None:
    """Write a report: as JSON, as Markdown, or into the place that a document keeps for it."""
    if file.suffix == ".json":
        file.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
        return
    before, begin, rest = file.read_text().partition(_BEGIN) if file.exists() else ("", "", "")
    _old, end, after = rest.partition(_END)
    text = as_markdown(report)
    file.write_text(f"{before}{begin}\n{text}\n{end}{after}" if end else text)


def as_markdown(report: Report) -> str:
    """Return a report for people: the table, and below it what does not fit into one."""
    rows = [_HEADINGS, *(_cells(line) for line in report.lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    ruled = [rows[0], tuple("-" * width for width in widths), *rows[1:]]
    table = "\n".join("| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in ruled)
    return "\n\n".join([table, *_notes(report)]) + "\n"


def _cells(line: Line) -> tuple[str, ...]:
    measured = line.measured
    return (
        line.title,
        f"{measured.per_second:,.0f}",
        f"{measured.cpu_us:.0f} us",
        f"{measured.p50_ms:.1f} ms",
        f"{measured.p99_ms:.1f} ms",
        _share(line.speed),
        _share(line.thrift),
        line.target,
        _verdict(line),
        f"{line.peak_mib:.0f} MiB",
        f"{line.start_s:.2f} s",
        f"{measured.load_busy:.0%}",
    )


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.2f} x"


def _verdict(line: Line) -> str:
    if line.reached is None:
        return ""
    return ("yes" if line.reached else "no") + (", by CPU" if line.by == BY_CPU else "")


def _notes(report: Report) -> list[str]:
    notes = [f"Medians of {report.rounds} rounds of {report.seconds:g} s each."]
    if report.many != MANY:
        notes.append(f"The large installation had only {report.many:,} clients.")
    notes += [
        f"{line.title}: PostgreSQL itself took {line.measured.beside_us:.0f} us for a request, on the core of the load."
        for line in report.lines
        if line.measured.beside_us
    ]
    if report.memory is not None:
        notes.append(_memory(report.memory))
    notes += [f"Left out: {title}, {reason}." for title, reason in report.skipped.items()]
    return notes


def _memory(memory: Memory) -> str:
    series = ", ".join(f"{mib:.1f}" for mib in memory.resident_mib)
    return (
        f"Memory under load, tokens issued and checked, every {memory.every_s:g} s: {series} MiB;"
        f" peak {memory.peak_mib:.1f} MiB, growth once the caches are full {memory.growth_mib:+.1f} MiB;"
        f" to reach: at most {LIMIT_MIB:g} MiB and flat; reached: {'yes' if memory.reached else 'no'}."
    )

"""`python -m benchmarks`: measure everything, side by side in one run, and print one table."""

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import memory, profiling, rounds
from benchmarks.contenders import BY_NAME, chosen, missing
from benchmarks.stage import MANY, Stage
from benchmarks.table import Report, as_markdown, write

MEMORY = "memory"
NAMES = [*BY_NAME, MEMORY]
# Where time goes in other servers is not ours to say.
OURS = [name for name in BY_NAME if not name.startswith(("bare", "nginx"))]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the arguments say."""
    asked = _parser().parse_args(arguments)
    if asked.profile:
        print(profiling.profile(BY_NAME[asked.profile], asked.seconds))
        return
    report = _measure(asked)
    print(as_markdown(report))
    for file in asked.output:
        write(report, file)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", type=_names, default=NAMES, help=f"some of these: {','.join(NAMES)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of load, in each round")
    parser.add_argument("--memory-seconds", type=float, default=60.0, help="of load, for the memory")
    parser.add_argument("--many", type=int, default=MANY, help="clients of the large installation")
    parser.add_argument("--output", type=Path, action="append", default=[], help=".json or .md; may be repeated")
    parser.add_argument("--profile", choices=OURS, help="say where the time of our server goes")
    return parser


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(NAMES):
        raise argparse.ArgumentTypeError(f"there is no {' and no '.join(sorted(unknown))}")
    return names


def _measure(asked: argparse.Namespace) -> Report:
    contenders = chosen([name for name in asked.only if name != MEMORY])
    skipped = {one.title: reason for one in contenders if (reason := missing(one.needs))}
    if MEMORY in asked.only and (reason := missing(("wrk",))):
        skipped[MEMORY] = reason
    measured = [contender for contender in contenders if contender.title not in skipped]
    with tempfile.TemporaryDirectory(prefix="aldaba-bench-") as directory, ExitStack() as stack:
        stage = Stage(Path(directory), stack, many=asked.many)
        return Report(
            rounds=asked.rounds,
            seconds=asked.seconds,
            many=asked.many,
            lines=rounds.run(stage, measured, rounds=asked.rounds, seconds=asked.seconds),
            memory=memory.run(stage, asked.memory_seconds) if {MEMORY} & set(asked.only) - set(skipped) else None,
            skipped=skipped,
        )


if __name__ == "__main__":
    main()

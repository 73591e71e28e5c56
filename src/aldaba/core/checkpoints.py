"""Signed checkpoints outside the database, where who keeps the database cannot set them back.

One JSON object a line, appended and flushed. `aldaba audit verify` reads them back.
"""

import asyncio
import os
from pathlib import Path
from typing import BinaryIO

import msgspec

from aldaba.store import audit
from aldaba.store.database import Database

# Another process may commit a checkpoint that it signed a little earlier than the last one seen.
OVERLAP_US = 60_000_000


class Checkpoint(msgspec.Struct, frozen=True):
    """A signed statement of where a chain stood."""

    writer: str
    seq: int
    at_us: int
    head: str
    signature: str


class CheckpointFile:
    """A file that every checkpoint of the database is copied to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written: dict[tuple[str, int], int] | None = None

    async def follow(self, database: Database) -> None:
        """Append the checkpoints that are not in the file yet.

        Raises:
            OSError: the file cannot be read or written.
            StoreUnavailable: the database does not answer.
        """
        if self._written is None:
            known = await asyncio.to_thread(read_checkpoints, self._path)
            self._written = {(each.writer, each.seq): each.at_us for each in known}
        last_us = max(self._written.values(), default=0)
        rows = await database.read(audit.checkpoints_since, last_us - OVERLAP_US)
        new = [Checkpoint(**row._mapping) for row in rows if (row.writer, row.seq) not in self._written]
        if not new:
            return
        await asyncio.to_thread(_append, self._path, new)
        self._written |= {(each.writer, each.seq): each.at_us for each in new}
        # Older ones are not read again.
        self._written = {key: at_us for key, at_us in self._written.items() if at_us >= last_us - OVERLAP_US}


def read_checkpoints(path: Path) -> list[Checkpoint]:
    """Return the checkpoints of a file, none when there is no file yet.

    Raises:
        OSError: it cannot be read.
        ValueError: a line that is not the last is no checkpoint.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    # A last line without its end was being written when the power failed.
    return [msgspec.json.decode(line, type=Checkpoint) for line in lines[:-1] if line]


def _append(path: Path, checkpoints: list[Checkpoint]) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    with os.fdopen(descriptor, "r+b") as file:
        if file.seek(0, os.SEEK_END) and not _ends_whole(file):
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
            file.seek(0, os.SEEK_END)
        file.write(b"".join(msgspec.json.encode(each) + b"\n" for each in checkpoints))
        file.flush()
        os.fsync(file.fileno())


def _ends_whole(file: BinaryIO) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"

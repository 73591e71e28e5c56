"""Identifiers: UUID version 7 (RFC 9562, section 5.7), so that they sort by the time they were made."""

import os
import time


def new_id() -> str:
    """Return a new UUID version 7 as lower-case canonical text."""
    when = f"{time.time_ns() // 1_000_000:012x}"
    random = os.urandom(10).hex()
    # 48 bits of time, version 7, 12 random bits, variant 10 with two more of them, 60 random bits.
    variant = "89ab"[int(random[3], 16) & 3]
    return f"{when[:8]}-{when[8:]}-7{random[:3]}-{variant}{random[4:7]}-{random[7:19]}"

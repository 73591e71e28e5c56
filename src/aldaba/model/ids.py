"""Identifiers: UUID version 7 (RFC 9562, section 5.7), so that they sort by the time they were made."""

import os
import time


def new_id() -> str:
    """Return a new UUID version 7 as lower-case canonical text."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    # 48 bits of time, version 7, 12 random bits, variant 10, 62 random bits.
    number = (milliseconds << 80) | (random & ~(0xF << 76) & ~(0x3 << 62)) | (0x7 << 76) | (0x2 << 62)
    digits = f"{number:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

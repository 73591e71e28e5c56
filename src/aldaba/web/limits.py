"""How long a caller may take and how much he may send before anything of it is believed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Deadlines and caps of connections (threats A5, A7, A8, L1).

    Args:
        header_s: from the first byte of a request to the end of its header.
        body_s: from the end of the header to the end of the body; time in which we do not read does not count.
        idle_s: between connecting, or the last answer, and the first byte of a request.
        slow_reader_s: while an answer waits for the caller to take more of it.
        handshake_s: for the whole TLS handshake.
        handshakes: how many of them go on at once on a listening socket; beyond, the oldest is cut. Each takes 60 KiB,
            ten times a connection of plain HTTP, and a good one is done in milliseconds.
        linger_s: how long what is still sent to a refused connection is thrown away, so that the caller can read why.
        linger_bytes: how much of it.
        sweep_s: how often deadlines are looked at; each is kept to within one sweep.
        header_bytes: the whole header with its request line.
        body_bytes: how much of a body is gathered before the application is called; with more it reads by itself.
        connections: of a process, all callers together.
        connections_per_address: of one source network (IPv4 address, IPv6 /64).
    """

    header_s: float = 10.0
    body_s: float = 10.0
    idle_s: float = 30.0
    slow_reader_s: float = 30.0
    handshake_s: float = 10.0
    handshakes: int = 1_000
    linger_s: float = 2.0
    linger_bytes: int = 256 * 1024
    sweep_s: float = 1.0
    header_bytes: int = 32 * 1024
    header_count: int = 100
    target_bytes: int = 8 * 1024
    body_bytes: int = 64 * 1024
    connections: int = 20_000
    connections_per_address: int = 1_000

"""How instants and spans are written on the command line."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from cyclopts import Parameter, Token
from cyclopts.validators import Number

_FORM = "write 2027-01-31, 2027-01-31T12:00:00Z or 2027-01-31T12:00:00+01:00"


def parse_instant(text: str) -> datetime:
    """Return the instant of a text in ISO 8601; a date is its first moment, and what names no zone is UTC.

    Raises:
        ValueError: it is none.
    """
    try:
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r:.40} is no instant: {_FORM}") from error


def parse_span(text: str) -> timedelta:
    """Return the span of a text, with units as settings have them.

    Raises:
        ValueError: it is none.
    """
    # The one place that knows the units; importing it brings the settings along.
    from aldaba.config.readers import duration  # noqa: PLC0415

    return duration("0s", "3660d").parse(text)


def parse_past(text: str) -> datetime:
    """Return an instant, or the one that is a span ago: `24h`, `7d`.

    Raises:
        ValueError: it is neither.
    """
    if text[:4].isdigit() and text[4:5] == "-":
        return parse_instant(text)
    try:
        return datetime.now(UTC) - parse_span(text)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r:.40} is neither an instant nor a span: {_FORM}, or 24h, 7d") from error


def _instant(_type: type, tokens: Sequence[Token]) -> datetime:
    return parse_instant(tokens[0].value)


def _past(_type: type, tokens: Sequence[Token]) -> datetime:
    return parse_past(tokens[0].value)


def _span(_type: type, tokens: Sequence[Token]) -> timedelta:
    return parse_span(tokens[0].value)


# Options only, and none of them required: left out, they are None.
Instant = Annotated[datetime | None, Parameter(converter=_instant, n_tokens=1, metavar="INSTANT")]
Past = Annotated[datetime | None, Parameter(converter=_past, n_tokens=1, metavar="WHEN")]
Span = Annotated[timedelta | None, Parameter(converter=_span, n_tokens=1, metavar="SPAN")]

Format = Literal["csv", "json"]
FormatOption = Annotated[Format | None, Parameter(name="--format")]

# A number of records to list, and a number of requests that may be none.
Limit = Annotated[int, Parameter(validator=Number(gte=1, lte=100_000))]
Count = Annotated[int | None, Parameter(validator=Number(gte=0, lte=1_000_000))]

"""Notes of use, gathered in memory and written every second: daily counts, and when a credential last proved something.

A crash may lose the last second of them; nothing decides by them.
"""

from datetime import date, datetime

from aldaba.store import usage
from aldaba.store.database import Database


class UsageNotes:
    """What has been used since the last `flush`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # By client and day, the day as an ordinal: it is written out once a second, and not for each request.
        self._requests: dict[tuple[str, int], int] = {}
        self._uses: dict[str, datetime] = {}

    def note(self, client_id: str, credential_id: str, at: datetime) -> None:
        """Note a request of a client with a credential."""
        key = (client_id, at.toordinal())
        self._requests[key] = self._requests.get(key, 0) + 1
        self._uses[credential_id] = at

    async def flush(self) -> None:
        """Write the notes. They are kept for the next time when that fails."""
        requests, self._requests = self._requests, {}
        uses, self._uses = self._uses, {}
        if not requests:
            return
        try:
            by_day = {(client_id, _day(ordinal)): count for (client_id, ordinal), count in requests.items()}
            await self._database.write(usage.add_usage, by_day, uses)
        except BaseException:
            for key, count in requests.items():
                self._requests[key] = self._requests.get(key, 0) + count
            self._uses = {**uses, **self._uses}
            raise

    async def noted_today(self, client_id: str, at: datetime) -> int:
        """Return the requests of a client that the store knows of for the UTC day of an instant."""
        return await self._database.look_up(usage.day_counts, client_id, _day(at.toordinal()))


def _day(ordinal: int) -> str:
    return date.fromordinal(ordinal).isoformat()

"""Notes of use, gathered in memory and written every second: daily counts, and when a credential last proved something.

A crash may lose the last second of them; nothing decides by them.
"""

from datetime import datetime

from aldaba.store import usage
from aldaba.store.database import Database


class UsageNotes:
    """What has been used since the last `flush`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._requests: dict[tuple[str, str], int] = {}
        self._uses: dict[str, datetime] = {}

    def note(self, client_id: str, credential_id: str, at: datetime) -> None:
        """Note a request of a client with a credential."""
        key = (client_id, _day(at))
        self._requests[key] = self._requests.get(key, 0) + 1
        self._uses[credential_id] = at

    async def flush(self) -> None:
        """Write the notes. They are kept for the next time when that fails."""
        requests, self._requests = self._requests, {}
        uses, self._uses = self._uses, {}
        if not requests:
            return
        try:
            await self._database.write(usage.add_usage, requests, uses)
        except BaseException:
            for key, count in requests.items():
                self._requests[key] = self._requests.get(key, 0) + count
            self._uses = {**uses, **self._uses}
            raise

    async def noted_today(self, client_id: str, at: datetime) -> int:
        """Return the requests of a client that the store knows of for the UTC day of an instant."""
        return await self._database.read(usage.day_counts, client_id, _day(at))


def _day(at: datetime) -> str:
    return f"{at.year:04d}-{at.month:02d}-{at.day:02d}"

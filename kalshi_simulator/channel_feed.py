"""What happened in a world since it was last looked at, as messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import takewhile

import orjson

from kalshi_simulator import channel_messages as messages
from kalshi_simulator.channel_messages import Message
from kalshi_simulator.wire import DAY, SECOND, Row, parse_time
from kalshi_simulator.world import MarketEntry, World

_LONGEST_LIFE = 10 * DAY
"""No daily market lives longer than that from its making to its settlement."""
_DECIDED = ("determined", "finalized")


class Feed:
    """Follows one world from the moment it is made. Ask it inside the clock's `one_moment`.

    Trading that begins at the opening time or ends at the closing time is told to nobody, as on the exchange.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen = world.clock.micros
        recent = self._created_after(self._seen - _LONGEST_LIFE)
        self._living = {entry: entry.status in _DECIDED for entry in recent if entry.status != "finalized"}
        """Markets that are not settled, and whether their result was told."""

    def advance(self, wanted: Callable[[str], bool]) -> list[Message]:
        """Everything since the last call, in the order in which it happened; trades of wanted markets only.

        A clock that was set back tells nothing twice.
        """
        since, now = self._seen, self._world.clock.micros
        if now <= since:
            return []
        self._seen = now
        made = list(self._created_after(since))[::-1]
        self._living |= dict.fromkeys(made, False)
        return [*self._made(made), *self._trades(since, wanted), *self._decided()]

    def _created_after(self, moment: int) -> Iterator[MarketEntry]:
        return takewhile(lambda entry: entry.created > moment, self._world.entries(None))

    def _made(self, made: list[MarketEntry]) -> Iterator[Message]:
        events = dict.fromkeys(entry.event_ticker for entry in made)
        for event in map(self._world.event, events):
            if event is not None:
                yield messages.event_created(event.row())
        for entry in made:
            yield messages.created(entry.row())

    def _trades(self, since: int, wanted: Callable[[str], bool]) -> Iterator[Message]:
        rows: list[Row] = []
        for entry in self._living:
            if entry.closes > since and wanted(entry.ticker):
                tape = self._world.tape(entry.ticker)
                count = 0 if tape is None or tape.raw else tape.since(since)
                if tape is not None and count:
                    rows += reversed(orjson.loads(b"[" + tape.rows(0, count) + b"]"))
        rows.sort(key=lambda row: parse_time(row["created_time"]))
        return map(messages.trade, rows)

    def _decided(self) -> Iterator[Message]:
        for entry, told in list(self._living.items()):
            status = entry.status
            if status not in _DECIDED or (told and status == "determined"):
                continue
            row = entry.row()
            settled = entry.settled
            if not told:
                timer = row["settlement_timer_seconds"] * SECOND
                yield messages.determined(row, entry.updated if settled is None else settled - timer)
            self._living[entry] = True
            if settled is not None:
                yield messages.settled(row, settled)
                del self._living[entry]

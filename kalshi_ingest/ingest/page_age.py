"""What the pages of one walk prove, which is as old as the exchange, or a cache, made them."""

import asyncio

from kalshi_ingest.clocks import steady
from kalshi_ingest.domain.checkpoint import Checkpoint, State
from kalshi_ingest.domain.walk import Walk
from kalshi_ingest.errors import Transient
from kalshi_ingest.exchange.caching import Made

GUARD_US = 2_000_000
"""How long after its end a candle of a market that trades is held back: its last trades may show up a little late."""
_LONGEST_WAIT = 60.0
"""Seconds that a second walk waits at most for a cache to forget the pages of the first."""


class PageAge:
    """The pages that one walk was shown."""

    def __init__(self, walk: Walk, known: Checkpoint | None) -> None:
        """`known`: the checkpoint that the walk began with."""
        # A walk that resumes where it broke off saw nothing newer than what its first page held.
        resumes = known is not None and known.state is State.WALKING and not walk.checkpoint.settled_first
        self.closed_us = walk.checkpoint.newest_us if resumes else None
        """Candles that end later may not be written: what was made after it, the walk does not see. None: none will."""
        self._first_ended = steady()
        """When the first walk ended. It may have been in an earlier process, which says no more than: before now."""
        self._waited = 0.0

    async def is_copy(self, walk: Walk, made: Made | None, asked: float) -> bool:
        """Whether a page, `asked` for at this moment of the steady clock, may be what the first walk was shown already.

        Such a page proves nothing to the second walk. Waits until the cache that repeats it has forgotten it; raises
        `Transient` when that takes too long.
        """
        if walk.checkpoint.walk == 1 or made is None or asked - made.age >= self._first_ended:
            return False
        pause = made.kept or made.age
        self._waited += pause
        if self._waited > _LONGEST_WAIT:
            raise Transient(
                f"{walk.checkpoint.ticker}: its trades do not add up to its volume, and a cache before the exchange "
                f"repeats them for another {pause:.0f} s; run the same command again after that"
            )
        await asyncio.sleep(pause)
        return True

    def take(self, walk: Walk, made: Made | None) -> None:
        """A page was made then; None: no tier answered."""
        if walk.checkpoint.walk == 1:
            self._first_ended = steady()
        if walk.checkpoint.settled_first:
            self.closed_us = None
            return
        bounds = [] if self.closed_us is None else [self.closed_us]
        if made is not None:
            bounds.append(made.at_us - GUARD_US)
        self.closed_us = min(bounds, default=0)

"""Which candles of a market that trades wait to be written. Pure; moments are the exchange's time in microseconds."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from kalshi_ingest.domain.candles import MINUTE_US
from kalshi_ingest.domain.model import Trade
from kalshi_ingest.domain.walk import BUCKET_US


@dataclass(slots=True)
class PendingCandles:
    """Periods with stored trades whose candles are not written, because they had not ended."""

    minutes: set[int] = field(default_factory=set)
    buckets: set[int] = field(default_factory=set)

    def add_bucket(self, start_us: int) -> None:
        """A whole five-minute bucket, as it is found after a restart."""
        self.buckets.add(start_us)
        self.minutes |= set(range(start_us, start_us + BUCKET_US, MINUTE_US))

    def add_trades(self, trades: Iterable[Trade], closed_us: int) -> None:
        """The periods of some stored trades that end after `closed_us`."""
        for trade in trades:
            if trade.created_us + BUCKET_US > closed_us:
                minute = trade.created_us - trade.created_us % MINUTE_US
                bucket = trade.created_us - trade.created_us % BUCKET_US
                if minute + MINUTE_US > closed_us:
                    self.minutes.add(minute)
                if bucket + BUCKET_US > closed_us:
                    self.buckets.add(bucket)

    def written(self, closed_us: int) -> None:
        """What ended by `closed_us` is in the table now."""
        self.minutes = {start for start in self.minutes if start + MINUTE_US > closed_us}
        self.buckets = {start for start in self.buckets if start + BUCKET_US > closed_us}

    def due(self, closed_us: int) -> frozenset[int]:
        """Buckets of which something ended by `closed_us`."""
        minutes = {start - start % BUCKET_US for start in self.minutes if start + MINUTE_US <= closed_us}
        return frozenset(minutes | {start for start in self.buckets if start + BUCKET_US <= closed_us})

    def all(self) -> frozenset[int]:
        """Every bucket of which something is to be written."""
        return frozenset({start - start % BUCKET_US for start in self.minutes} | self.buckets)

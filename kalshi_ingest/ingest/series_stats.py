"""What was done for one series: counted once, read by the ingestion log, the metrics and the status page."""

from collections import Counter
from dataclasses import dataclass, field

from kalshi_ingest.exchange.client import Tally
from kalshi_ingest.postgres.ingestion_log import SeriesCount
from kalshi_ingest.postgres.writer import Written


@dataclass(slots=True)
class SeriesStats:
    """Counters of one series since the process started; they only ever grow."""

    tally: Tally = field(default_factory=Tally)
    """Of the requests sent for it."""
    trades: int = 0
    candles_1m: int = 0
    candles_5m: int = 0
    proved: Counter[str] = field(default_factory=Counter)
    """Markets proved complete by a walk, by verdict."""

    def add(self, written: Written) -> None:
        """Count what was committed."""
        self.trades += written.trades
        self.candles_1m += written.candles_1m
        self.candles_5m += written.candles_5m

    def counts(self) -> SeriesCount:
        """As they are now; what a run did is the difference between two of these."""
        return SeriesCount(
            trades=self.trades,
            candles_1m=self.candles_1m,
            candles_5m=self.candles_5m,
            requests=self.tally.requests,
            retries=self.tally.retries,
        )

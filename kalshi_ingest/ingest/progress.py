"""What a run has done so far, per series: read by the display, the summary and the ingestion log."""

from collections import Counter
from dataclasses import dataclass, field, replace

from kalshi_ingest.exchange.client import Tally
from kalshi_ingest.postgres.ingestion_log import SeriesCount
from kalshi_ingest.postgres.writer import Written


@dataclass(frozen=True, slots=True)
class Wanted:
    """One series that the user asked for."""

    series_ticker: str
    city: str | None
    """The city's key; None for a series that is not a city's daily high."""

    @property
    def label(self) -> str:
        """What a person calls it."""
        return self.city or self.series_ticker


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


@dataclass(slots=True)
class SeriesProgress:
    """Counters of one series in one run."""

    wanted: Wanted
    stats: SeriesStats = field(default_factory=SeriesStats)
    """Counts on from one run to the next."""
    listed: bool = False
    """Whether every market of the asked dates is known."""
    markets_listed: int | None = None
    """How many these are, once it is known and as far as the lists prove it; see the column of the ingestion log."""
    absent: bool = False
    """Whether the lists hold later dates and none of those requested: repeating changes nothing."""
    markets: int = 0
    """Markets of the asked dates found so far."""
    proved_before: int = 0
    """Complete before this run asked anything."""
    ended: set[str] = field(default_factory=set)
    """Tickers of the markets that this run is done with, each once however often it was walked: walked to the end,
    proved empty, or failed."""
    verdicts: Counter[str] = field(default_factory=Counter)
    """Markets complete by now, by verdict."""
    open: int = 0
    """Markets walked to the end that have not settled yet."""
    failed: dict[str, str] = field(default_factory=dict)
    """Ticker (or what else could not be read) to reason."""
    warnings: list[str] = field(default_factory=list)
    _before: SeriesCount = field(init=False)
    """What was counted when the run began."""

    def __post_init__(self) -> None:
        self._before = self.stats.counts()

    def start_over(self, why: str) -> None:
        """Judge everything again from the start, with `why` as a warning. What was asked and fetched stays counted."""
        self.listed, self.markets_listed, self.absent = False, None, False
        self.markets = self.proved_before = self.open = 0
        self.ended, self.verdicts, self.failed, self.warnings = set(), Counter(), {}, [why]

    @property
    def counted(self) -> SeriesCount:
        """What the ingestion log keeps of it."""
        counted = self.stats.counts().since(self._before)
        return replace(counted, markets=len(self.ended), listed=self.markets_listed)

    @property
    def done(self) -> int:
        """Markets that need nothing more from this run."""
        return self.proved_before + len(self.ended)

    @property
    def complete(self) -> int:
        """Markets proved complete, whatever their verdict."""
        return self.verdicts.total()

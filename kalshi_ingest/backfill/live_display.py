"""Progress while a backfill runs: a live table on a terminal, a log line now and then elsewhere."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

import structlog
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kalshi_ingest import terminal
from kalshi_ingest.exchange.client import Client
from kalshi_ingest.ingest.progress import SeriesProgress

_LIVE_SECONDS = 0.25
_LOG_SECONDS = 10.0
_LOOK_SECONDS = 0.5
"""How soon an exchange that does not answer is reported."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Rates:
    """Speeds since the start."""

    seconds: float
    requests_per_second: float
    budget_used: float
    """Share of the request budget spent, 0 to 1."""
    seconds_left: float | None
    """None while the list of markets is still growing."""


class Display:
    """Shows `progress` until it is cancelled."""

    def __init__(self, progress: Sequence[SeriesProgress], client: Client, stream: TextIO) -> None:
        self._progress = progress
        self._client = client
        self._stream = stream
        self._started = time.monotonic()

    async def run(self) -> None:
        """Refresh for ever."""
        if not terminal.obeys(self._stream):
            await self._keep_logging()
        with Live(self._table(), console=Console(file=self._stream), auto_refresh=False, transient=True) as live:
            while True:
                live.update(self._table(), refresh=True)
                await asyncio.sleep(_LIVE_SECONDS)

    async def _keep_logging(self) -> None:
        logged_at, warned = time.monotonic(), False
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            trouble = self._client.trouble
            if trouble is not None and not warned:
                log.warning("exchange_unreachable", reason=trouble, retrying=True)
            warned = trouble is not None
            if time.monotonic() - logged_at >= _LOG_SECONDS:
                logged_at = time.monotonic()
                self._log()

    def rates(self) -> Rates:
        """Where the run stands now."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        pace = self._client.sent / seconds
        done = sum(each.done for each in self._progress)
        left = sum(each.markets - each.done for each in self._progress)
        known = all(each.listed for each in self._progress) and done > 0
        ended = sum(len(each.ended) for each in self._progress)
        speed = ended / seconds
        return Rates(
            seconds=seconds,
            requests_per_second=pace,
            budget_used=min(1.0, pace / self._client.pacer.requests_per_second),
            seconds_left=left / speed if known and speed else None,
        )

    def _log(self) -> None:
        rates = self.rates()
        log.info(
            "progress",
            markets={each.wanted.label: f"{each.done}/{each.markets}" for each in self._progress},
            trades=sum(each.stats.trades for each in self._progress),
            requests_per_second=round(rates.requests_per_second, 1),
            budget_used=round(rates.budget_used, 3),
            seconds_left=None if rates.seconds_left is None else round(rates.seconds_left),
            failed=sum(len(each.failed) for each in self._progress),
        )

    def _table(self) -> Table:
        rates = self.rates()
        left = "…" if rates.seconds_left is None else f"{rates.seconds_left:,.0f} s left"
        title = f"{rates.requests_per_second:.1f} requests/s, {rates.budget_used:.0%} of the budget, {left}"
        if self._client.trouble is not None:
            title = f"The exchange does not answer, trying again: {terminal.safe_line(self._client.trouble)}"
        table = Table(
            title=Text(title),
            title_justify="left",
            box=None,
            pad_edge=False,
        )
        table.add_column("series")
        for name in ("markets", "of", "done", "trades", "trades/s", "retries", "failed"):
            table.add_column(name, justify="right")
        for each in self._progress:
            share = each.done / each.markets if each.markets else 0.0
            table.add_row(
                Text(terminal.safe_line(each.wanted.label)),  # and no markup either
                f"{each.done:,}",
                f"{each.markets:,}" if each.listed else f"{each.markets:,}+",
                f"{share:.0%}",
                f"{each.stats.trades:,}",
                f"{each.stats.trades / rates.seconds:,.0f}",
                f"{each.stats.tally.retries:,}",
                f"{len(each.failed):,}",
            )
        return table

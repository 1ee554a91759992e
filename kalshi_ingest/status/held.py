"""`status`: what is held, what is in progress and what is left, per series."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from kalshi_ingest.postgres.database import Connection, Database
from kalshi_ingest.status.queries import held, past_runs
from kalshi_ingest.text_table import table

_LISTED = 20
_BLEMISHES = frozenset({"inexact", "open", "partly", "failed", "never"})


@dataclass(frozen=True, slots=True)
class Status:
    holdings: Sequence[held.Holding]
    runs: Mapping[str, past_runs.SeriesRun]
    failures: Sequence[tuple[str, str]]

    def as_json(self) -> str:
        """One JSON object: series, with counts by state and the last run, and the newest failures."""
        series = [
            {
                **dataclasses.asdict(holding),
                "complete": holding.complete,
                "left": holding.left,
                "last_run": self._run(holding.series_ticker),
            }
            for holding in self.holdings
        ]
        failures = [{"ticker": ticker, "reason": reason} for ticker, reason in self.failures]
        return orjson.dumps({"series": series, "failures": failures}, option=orjson.OPT_INDENT_2).decode()

    def _run(self, series_ticker: str) -> dict[str, object] | None:
        run = self.runs.get(series_ticker)
        return None if run is None else dataclasses.asdict(run)

    def _nothing_left(self) -> str:
        """What can be said when every market held is proved: a run that broke off may not have listed them all."""
        ended = {ticker for ticker, run in self.runs.items() if run.status == "success" or not run.is_expected}
        broken = [holding.label for holding in self.holdings if holding.series_ticker not in ended]
        if not broken:
            return "Every market is proved complete."
        return (
            "Every market held is proved complete, but there may be more: the last run did not end with success for "
            f"{', '.join(broken)}. Run the same backfill again."
        )

    def as_text(self) -> str:
        if not self.holdings:
            return "Nothing is held yet. Start with: kalshi-ingest backfill --start 2025-11-01 --end 2025-11-14"
        rows: list[list[object]] = []
        sums = [0] * 8
        for each in self.holdings:
            proved = (each.markets, each.exact, each.short + each.over + each.unknown)
            counts = (*proved, each.open, each.walking, each.failed, each.never_fetched, each.trades)
            sums = [sum(pair) for pair in zip(sums, counts, strict=True)]
            last = self.runs[each.series_ticker].status if each.series_ticker in self.runs else "-"
            rows.append([each.label, str(each.first_date or "-"), str(each.last_date or "-"), *counts, last])
        header = ("series", "from", "to", "markets", "exact", "inexact", "open", "partly", "failed", "never", "trades")
        parts = [table((*header, "last run"), rows, total=("total", "", "", *sums, ""), optional=_BLEMISHES)]
        left = sum(holding.left for holding in self.holdings)
        parts.append("\n" + (f"{left:,} markets are left to prove complete." if left else self._nothing_left()))
        if self.failures:
            parts.append("\nfailed (the next backfill tries them again):")
            parts += [f"  {ticker}: {reason}" for ticker, reason in self.failures]
        return "\n".join(parts)


async def status(database: Database) -> Status:
    return await database.run(_read)


async def _read(connection: Connection) -> Status:
    return Status(
        await held.holdings(connection),
        await past_runs.latest_of_each(connection),
        await held.failures(connection, _LISTED),
    )

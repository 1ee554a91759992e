"""`coverage --candles N`: our candles against the exchange's own, for a seeded sample of markets."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from kalshi_ingest.coverage.candle_audit_report import Audited, AuditReport
from kalshi_ingest.coverage.queries import candle_audit as queries
from kalshi_ingest.coverage.queries.candle_audit import Sampled, Scope
from kalshi_ingest.domain.audit import MinuteCandle, compare
from kalshi_ingest.domain.cities import city_of_series
from kalshi_ingest.domain.model import Tier
from kalshi_ingest.errors import Permanent, Rejected, Transient
from kalshi_ingest.exchange.client import Tally
from kalshi_ingest.ingest.cancellation import task_group
from kalshi_ingest.ingest.resources import RunContext

_MARKETS_AT_ONCE = 4
"""The pace is the client's; more at once would only hold more candles."""

log = structlog.get_logger()


async def audit(context: RunContext, scope: Scope, markets: int, seed: int = 0) -> AuditReport:
    """Compare every traded minute of `markets` complete markets in `scope`, without retired cities; nothing is written.

    Raises `OutOfReach` when the exchange or the database is away. A market whose candles cannot be had for another
    reason is reported as such.
    """
    active = [ticker for ticker in scope.series_tickers if not ((city := city_of_series(ticker)) and city.retired)]
    cutoff = await _cutoff(context)
    sampled, eligible = await context.planning.run(
        queries.sample, replace(scope, series_tickers=active), markets, seed, cutoff
    )
    work = _Work(context, iter(sampled))
    async with task_group() as group:
        for _ in range(min(_MARKETS_AT_ONCE, context.workers)):
            group.create_task(work.run())
    return AuditReport(
        asked=markets,
        seed=seed,
        eligible=eligible,
        audited=sorted(work.audited, key=lambda market: market.ticker),
        not_audited=sorted(work.not_audited),
        requests=work.tally.requests,
    )


@dataclass(slots=True)
class _Work:
    """What the workers share: the markets that wait, and what became of the others."""

    context: RunContext
    waiting: Iterator[Sampled]
    audited: list[Audited] = field(default_factory=list)
    not_audited: list[tuple[str, str]] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    async def run(self) -> None:
        for market in self.waiting:
            try:
                tier, theirs = await self._theirs(market)
                ours = await self.context.planning.run(queries.minute_candles, market.ticker)
                self.audited.append(Audited(market.ticker, market.series_ticker, tier, compare(ours, theirs)))
            except (Permanent, Transient) as error:
                log.warning("market_not_audited", ticker=market.ticker, reason=str(error))
                self.not_audited.append((market.ticker, str(error)))

    async def _theirs(self, market: Sampled) -> tuple[Tier, list[MinuteCandle]]:
        """The exchange's candles of the minutes with trades, and the tier that has them.

        Markets may move to the historical tier meanwhile, so that one is asked last.
        """
        asked = (Tier.LIVE, Tier.HISTORICAL)
        for tier in (Tier.HISTORICAL, *asked) if market.archived else asked:
            try:
                return tier, await self._of_tier(market, tier)
            except Rejected as error:
                if error.status != 404:
                    raise
        raise Permanent("the exchange has no candles of this market, in neither tier (404 from both)")

    async def _of_tier(self, market: Sampled, tier: Tier) -> list[MinuteCandle]:
        parts = self.context.api.candles(
            market.ticker, market.series_ticker, tier, market.start, market.end, self.tally
        )
        return [candle async for part in parts for candle in part if candle.volume]


async def _cutoff(context: RunContext) -> datetime | None:
    """The border between the tiers; None when the exchange does not tell, then the live tier is asked first."""
    try:
        return (await context.api.cutoff()).markets
    except (Permanent, Transient) as error:
        log.warning("cutoff_failed", reason=str(error))
        return None

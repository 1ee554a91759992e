"""Where things stand on the chart: prices and times to parts of its height and width."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from zoneinfo import ZoneInfo

from kalshi_ingest.web.queries import HeldCandle

_PRICE_STEPS = tuple(Decimal(each) for each in ("0.5", "1", "2", "5", "10", "20", "25"))
_TIME_STEPS = tuple(timedelta(minutes=each) for each in (5, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 7200, 14400))
_MOST_PRICES = 6
_MOST_TIMES = 8
_LEAST_PERIODS = 36
"""A chart of few candles is as wide as so many, or one candle would fill it."""


@dataclass(frozen=True, slots=True)
class PriceScale:
    """Cents, from the bottom to the top of the chart."""

    low: Decimal
    high: Decimal
    step: Decimal

    @classmethod
    def of(cls, candles: Sequence[HeldCandle]) -> "PriceScale":
        """Around all prices, in round steps, never beyond 0 and 100."""
        low = min(each.low for each in candles) * 100
        high = max(each.high for each in candles) * 100
        middle = (low + high) / 2
        low, high = min(low, middle - 3), max(high, middle + 3)
        step = next((each for each in _PRICE_STEPS if (high - low) / each <= _MOST_PRICES - 1), _PRICE_STEPS[-1])
        bottom = (low / step).to_integral_value(ROUND_FLOOR) * step
        top = (high / step).to_integral_value(ROUND_CEILING) * step
        return cls(max(Decimal(0), bottom), min(Decimal(100), top), step)

    def share(self, dollars: Decimal) -> Decimal:
        """0 at the top, 1 at the bottom."""
        return (self.high - dollars * 100) / (self.high - self.low)

    def ticks(self) -> Iterator[Decimal]:
        """Prices to name, in cents."""
        price = self.low
        while price <= self.high:
            yield price
            price += self.step


@dataclass(frozen=True, slots=True)
class TimeScale:
    """Moments, from the left to the right of the chart."""

    first: datetime
    last: datetime

    @classmethod
    def of(cls, candles: Sequence[HeldCandle]) -> "TimeScale":
        """From the first candle's start to the last one's end."""
        last = candles[-1].period_end
        least = (last - candles[-1].period_start) * _LEAST_PERIODS
        return cls(min(candles[0].period_start, last - least), last)

    def share(self, moment: datetime) -> Decimal:
        """0 at the left, 1 at the right."""
        part, whole = moment - self.first, self.last - self.first
        return Decimal(part // timedelta(milliseconds=1)) / Decimal(whole // timedelta(milliseconds=1))

    def ticks(self, zone: ZoneInfo) -> list[tuple[datetime, str]]:
        """Moments to name, with their names: round on the clock of `zone`, on days of 23 and 25 hours too."""
        span = self.last - self.first
        step = next((each for each in _TIME_STEPS if span / each <= _MOST_TIMES), span)
        start = self.first.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
        named: dict[datetime, str] = {}
        for number in range(int((span + timedelta(days=2)) / step) + 1):
            local = start + number * step  # arithmetic of the clock on the wall, which is what is round
            moment = local.astimezone(ZoneInfo("UTC"))
            if self.first <= moment <= self.last:
                midnight = (local.hour, local.minute) == (0, 0)
                named[moment] = f"{local:%a} {local.day} {local:%b}" if midnight else f"{local:%H:%M}"
        return sorted(named.items())

"""How the exchange writes things: times, prices, counts, JSON.

Everything inside the simulator is an integer, so that no answer depends on float arithmetic:
moments are Unix **microseconds** (UTC), prices are **tenths of a cent**, counts are **hundredths of a
contract**. This file is the only place that turns them into the exchange's strings.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson

Row = dict[str, Any]
"""One JSON object as the exchange sends it."""

MILLISECOND = 1_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 3600 * SECOND
DAY = 86_400 * SECOND

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Unix microseconds of an aware moment."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The UTC moment of Unix microseconds."""
    return _EPOCH + timedelta(microseconds=micros)


def day_start(day: date) -> int:
    """Unix microseconds of the UTC midnight that begins `day`."""
    return (day.toordinal() - _EPOCH.toordinal()) * DAY


@lru_cache(maxsize=8192)
def time_text(micros: int) -> str:
    """RFC 3339 in UTC with `Z`; trailing zeros of the fraction are trimmed, down to no fraction at all."""
    return from_micros(micros).strftime("%Y-%m-%dT%H:%M:%S") + fraction_text(micros % SECOND) + "Z"


def fraction_text(micros: int) -> str:
    """The fraction of a second as the exchange writes it: `.84776`, `.5`, or nothing."""
    return f".{micros:06d}".rstrip("0") if micros else ""


def parse_time(text: str) -> int:
    """Unix microseconds of an RFC 3339 text with any number of fraction digits."""
    return to_micros(datetime.fromisoformat(text))


def price_text(mills: int) -> str:
    """A price in tenths of a cent as dollars with four decimals: 410 → `0.4100`."""
    return f"{mills // 1000}.{mills % 1000:03d}0"


def parse_price(text: str) -> int:
    """Tenths of a cent of a dollar string; finer digits are cut, which no simulated price has."""
    whole, _, fraction = text.partition(".")
    return int(whole) * 1000 + int((fraction + "000")[:3])


def count_text(hundredths: int) -> str:
    """A count in hundredths of a contract with two decimals: 312 → `3.12`."""
    return f"{hundredths // 100}.{hundredths % 100:02d}"


def parse_count(text: str) -> int:
    """Hundredths of a contract of a count string."""
    whole, _, fraction = text.partition(".")
    return int(whole) * 100 + int((fraction + "00")[:2])


def dump(body: object) -> bytes:
    """Compact JSON with alphabetical keys, as every recorded answer has them."""
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)

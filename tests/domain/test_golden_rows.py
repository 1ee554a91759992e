"""A few real rows, typed in by hand, so that a clone without the recorded data proves the rules it claims.

Trades and candles are the exchange's own, of KXHIGHCHI-25MAY02-T61 on 2025-05-02 (UTC); prices in cents, counts in
contracts. The climate report is Miami's of 2026-07-09, as issued, without its sections below the temperatures.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from kalshi_ingest.domain.candles import fold
from kalshi_ingest.domain.cities import find_city
from kalshi_ingest.domain.model import Candle, Trade
from kalshi_ingest.domain.nws.cli_report import finality, parse_cli

Row = tuple[str, str, int, int, str]
"""created_time, trade_id, yes price, count, taker's side; newest first, as the API lists them."""

YES_SWEEP: Sequence[Row] = (
    ("12:22:31.133019", "f01534ed-7c76-433f-be4c-4f88438ffbbb", 69, 2, "no"),
    ("12:22:03.187487", "dbbdc286-4a80-4a42-8609-44f68cf29478", 70, 3, "yes"),
    ("12:22:03.187487", "95e7fbb5-63aa-4ffc-baff-e8032cb3cc87", 71, 1, "yes"),
    ("12:22:03.187487", "8691e680-aa50-41f1-8f33-91be7e20eb0b", 68, 2, "yes"),
    ("12:22:03.187487", "7e1ddd61-93be-4921-a4bb-d61813628c57", 67, 1, "yes"),
    ("12:22:03.187487", "6244bf49-2f4b-4db5-b36d-206ecf9301a9", 69, 3, "yes"),
)
"""A taker of yes eats the book upwards, then one trade of a later instant ends the minute."""

NO_SWEEP: Sequence[Row] = (
    ("12:45:57.364560", "adf97755-f492-4df0-bd1a-c7e94dd883b7", 70, 3, "no"),
    ("12:45:57.364560", "9da5aec6-8723-472a-8f62-697c936e165a", 69, 3, "no"),
    ("12:45:57.364560", "9475f3d0-d94b-4c58-898f-f6e23fe70e89", 67, 1, "no"),
    ("12:45:57.364560", "7e57f38f-fd4d-4284-a238-2f15f626a678", 68, 2, "no"),
    ("12:45:57.364560", "509a7992-30db-4484-9e01-be0a94f3dda5", 72, 2, "no"),
    ("12:45:57.364560", "1f8ec2c4-b61f-4069-ad39-bc3529823bac", 71, 4, "no"),
)
"""A taker of no eats it downwards in yes prices, all in one instant."""

REPORT = """
000
CDUS42 KMFL 090825
CLIMIA

CLIMATE REPORT
NATIONAL WEATHER SERVICE MIAMI,FL
425 AM EDT THU JUL 09 2026

...................................

...THE MIAMI CLIMATE SUMMARY FOR JULY 8 2026...

CLIMATE NORMAL PERIOD: 1991 TO 2020
CLIMATE RECORD PERIOD: 1895 TO 2026


WEATHER ITEM   OBSERVED TIME   RECORD YEAR NORMAL DEPARTURE LAST
                VALUE   (LST)  VALUE       VALUE  FROM      YEAR
                                                  NORMAL
...................................................................
TEMPERATURE (F)
 YESTERDAY
  MAXIMUM         92   2:28 PM  96    2023  90      2       92
  MINIMUM         83   1:26 AM  70    1910  77      6       79
                                      1928
                                      1930
  AVERAGE         88                        84      4       86

THE MIAMI CLIMATE NORMALS FOR TODAY
                         NORMAL    RECORD    YEAR
 MAXIMUM TEMPERATURE (F)   90        98      2020
 MINIMUM TEMPERATURE (F)   77        69      1927
                                             1938
$$
"""


def trade(row: Row) -> Trade:
    created, trade_id, cents, contracts, side = row
    moment = datetime.fromisoformat(f"2025-05-02T{created}+00:00")
    microseconds = int(moment.timestamp()) * 1_000_000 + moment.microsecond
    return Trade(
        microseconds, UUID(trade_id).bytes, cents * 10_000, contracts * 100, {"yes": 1, "no": -1}[side], is_block=False
    )


def as_the_exchange_shows_it(candle: Candle) -> tuple[int, ...]:
    """Open, high, low, close and mean in cents, the mean cut to whole cents; volume in contracts."""
    prices = (abs(candle.open_key), candle.high, candle.low, abs(candle.close_key))
    mean = Decimal(candle.notional) / candle.volume / 10_000
    return *(price // 10_000 for price in prices), int(mean), candle.volume // 100


@pytest.mark.parametrize(
    ("rows", "exchange"),
    [(YES_SWEEP, (67, 71, 67, 69, 69, 12)), (NO_SWEEP, (72, 72, 67, 67, 69, 15))],
    ids=["yes", "no"],
)
def test_a_minute_with_a_sweep_is_the_exchanges_own_candle(rows: Sequence[Row], exchange: tuple[int, ...]) -> None:
    oldest_first = rows[::-1]
    turned_within_instants = sorted(rows, key=lambda row: row[0])
    for order in (oldest_first, turned_within_instants):
        (candle,) = fold([trade(row) for row in order])
        assert as_the_exchange_shows_it(candle) == exchange


def test_no_other_order_within_the_instant_makes_these_candles() -> None:
    """Neither ascending nor descending trade ids, and not the price alone, begin or end where the exchange does."""
    sweep = YES_SWEEP[1:]
    for rows, first, last in ((sweep, 67, 71), (NO_SWEEP, 72, 67)):
        by_id = sorted(rows, key=lambda row: row[1])
        by_price = sorted(rows, key=lambda row: row[2])
        assert (by_id[0][2], by_id[-1][2]) not in ((first, last), (last, first))
        assert ((by_price[0][2], by_price[-1][2]) == (first, last)) == (rows is sweep)
        (candle,) = fold([trade(row) for row in rows])
        assert (abs(candle.open_key) // 10_000, abs(candle.close_key) // 10_000) == (first, last)


def test_a_daily_climate_report() -> None:
    report = parse_cli(REPORT)
    assert (report.product_id, report.pil) == ("202607090825-KMFL-CDUS42-CLIMIA", "CLIMIA")
    assert (report.climate_date, report.issued_at) == (date(2026, 7, 8), datetime(2026, 7, 9, 8, 25, tzinfo=UTC))
    assert report.maximum_f == 92
    assert not any((report.is_estimate, report.says_as_of))
    miami = find_city("miami")
    assert finality(miami, report.climate_date, report.issued_at, report.says_as_of) == (True, None)

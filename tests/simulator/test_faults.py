"""Every fault shows itself once asked for, and only there."""

from __future__ import annotations

import asyncio
from collections import Counter
from decimal import Decimal
from typing import Any

import orjson
import pytest
from aiohttp import ClientError, ClientPayloadError

from kalshi_simulator import Faults, RowsWorld, Simulator
from tests.simulator.support import Api, Row, served

TICKER, OTHER = "KXHIGHCHI-25NOV13-B50.5", "KXHIGHCHI-25NOV13-B52.5"
PATH = "/markets/trades"


def trade(ticker: str, number: int) -> Row:
    return {
        "count_fp": "2.00",
        "created_time": f"2025-11-13T12:{number // 60:02d}:{number % 60:02d}Z",
        "is_block_trade": False,
        "no_price_dollars": "0.6000",
        "taker_book_side": "bid",
        "taker_outcome_side": "yes",
        "taker_side": "yes",
        "ticker": ticker,
        "trade_id": f"00000000-0000-0000-0000-{number:012d}",
        "yes_price_dollars": "0.4000",
    }


def world(count: int = 25) -> RowsWorld:
    return RowsWorld(trades={ticker: [trade(ticker, n) for n in range(count)] for ticker in (TICKER, OTHER)})


def faulty(kind: str, **more: Any) -> Simulator:
    return Simulator(world(), faults=Faults(targeted={TICKER: kind}, **more))


async def numbers(api: Api, **query: Any) -> list[int]:
    rows = await api.walk(PATH, "trades", limit=10, **query)
    return [int(row["trade_id"][-12:]) for row in rows]


GOOD = list(range(24, -1, -1))


@pytest.mark.parametrize("kind", ["repeat_cursor", "duplicate_seam", "bad_sum", "http_404", "stall", "short_answer"])
async def test_other_tickers_are_spared(kind: str) -> None:
    async with served(faulty(kind)) as api:
        assert await numbers(api, ticker=OTHER) == GOOD


async def test_repeat_cursor_leads_back_to_itself() -> None:
    async with served(faulty("repeat_cursor")) as api:
        cursor = (await api.get(PATH, ticker=TICKER, limit=10))["cursor"]
        again = await api.get(PATH, ticker=TICKER, limit=10, cursor=cursor)
        assert again["cursor"] == cursor
        assert again == await api.get(PATH, ticker=TICKER, limit=10, cursor=cursor)
        whole = await api.get(PATH, ticker=TICKER, limit=100)
        assert whole["cursor"]  # even where one page would have held everything


async def test_empty_page_with_cursor_comes_before_good_pages() -> None:
    async with served(faulty("empty_page_with_cursor")) as api:
        first = await api.get(PATH, ticker=TICKER, limit=10)
        assert first["trades"] == []
        assert first["cursor"]
        assert await numbers(api, ticker=TICKER) == GOOD


async def test_duplicate_seam_repeats_the_last_rows() -> None:
    simulator = faulty("duplicate_seam")
    async with served(simulator) as api:
        pages = await api.pages(PATH, "trades", ticker=TICKER, limit=10)
        assert [len(page) for page in pages] == [10, 10, 10, 4]
        assert pages[1][:3] == pages[0][-3:]
        assert simulator.stats.faults["duplicate_seam"] == 3
        assert list(dict.fromkeys(await numbers(api, ticker=TICKER))) == GOOD


async def test_short_answer_cuts_the_first_walk_and_not_the_second() -> None:
    async with served(faulty("short_answer")) as api:
        assert await numbers(api, ticker=TICKER) == GOOD[:20]
        assert await numbers(api, ticker=TICKER) == GOOD
    async with served(faulty("short_answer")) as api:
        assert await api.walk(PATH, "trades", ticker=TICKER, limit=100) == []
        assert len(await api.walk(PATH, "trades", ticker=TICKER, limit=100)) == 25


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        ("foreign_row", lambda row: row["ticker"] != TICKER),
        ("missing_field", lambda row: "yes_price_dollars" not in row),
        ("missing_field:created_time", lambda row: "created_time" not in row),
        ("price_out_of_range", lambda row: Decimal(row["yes_price_dollars"]) > 1),
        ("zero_count", lambda row: row["count_fp"] == "0.00"),
        ("bad_sum", lambda row: Decimal(row["yes_price_dollars"]) + Decimal(row["no_price_dollars"]) != 1),
    ],
)
async def test_one_row_of_a_page_is_wrong(kind: str, check: Any) -> None:
    simulator = faulty(kind, times=1)
    async with served(simulator) as api:
        wrong = (await api.get(PATH, ticker=TICKER, limit=10))["trades"]
        assert len(wrong) == 10
        assert [bool(check(row)) for row in wrong].count(True) == 1
        assert simulator.stats.faults == {kind.partition(":")[0]: 1}
        assert await numbers(api, ticker=TICKER) == GOOD


async def test_unknown_extra_fields_leave_the_rest_alone() -> None:
    async with served(faulty("unknown_extra_field")) as api:
        rows = (await api.get(PATH, ticker=TICKER, limit=5))["trades"]
        assert all("brand_new_field" in row for row in rows)
        assert rows[0].items() >= trade(TICKER, 24).items()


@pytest.mark.parametrize(
    ("kind", "status", "content_type"),
    [
        ("http_404", 404, "application/json"),
        ("http_400", 400, "application/json"),
        ("forever_500", 500, "application/json"),
        ("html_200", 200, "text/html"),
        ("truncated_json", 200, "application/json"),
    ],
)
async def test_wrong_answers(kind: str, status: int, content_type: str) -> None:
    async with served(faulty(kind)) as api:
        for path in (PATH, "/historical/trades"):
            async with api.session.get(api.url + path, params={"ticker": TICKER}) as response:
                body = await response.read()
                assert (response.status, response.content_type) == (status, content_type)
            if status == 200:
                with pytest.raises(orjson.JSONDecodeError):
                    orjson.loads(body)
            else:
                assert orjson.loads(body)["error"]["code"]


async def test_times_limits_how_often() -> None:
    async with served(faulty("forever_500", times=2)) as api:
        found = [(await api.ask(PATH, ticker=TICKER))[0] for _ in range(4)]
    assert found == [500, 500, 200, 200]


async def test_stall_sends_headers_and_then_nothing() -> None:
    async with served(faulty("stall")) as api, api.session.get(api.url + PATH, params={"ticker": TICKER}) as response:
        assert response.status == 200
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.content.read(1), 0.15)


async def test_huge_body_is_streamed() -> None:
    async with served(faulty("huge_body", huge_body_bytes=3_000_000)) as api:
        async with api.session.get(api.url + PATH, params={"ticker": TICKER}) as response:
            assert "Content-Length" not in response.headers
            assert len(await response.read()) >= 3_000_000
        async with api.session.get(api.url + PATH, params={"ticker": TICKER}) as response:
            await response.content.read(10)
            response.close()  # a client that has seen enough
        assert await numbers(api, ticker=OTHER) == GOOD


async def shown(api: Api) -> str:
    """What one request met, as its client sees it."""
    try:
        async with api.session.get(api.url + PATH, params={"ticker": TICKER}) as response:
            body = await response.read()
    except ClientPayloadError:
        return "cut body"
    except ClientError:
        return "cut"
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return f"{response.status} not JSON"
    return str(response.status)


async def test_random_faults_are_mixed_seeded_and_as_many_as_asked_for() -> None:
    def simulator(seed: int) -> Simulator:
        return Simulator(world(), faults=Faults(seed=seed, error_rate=0.4, slow_body_seconds=0.0))

    async def run(seed: int) -> list[str]:
        async with served(simulator(seed)) as api:
            return [await shown(api) for _ in range(300)]

    first = await run(1)
    kinds = Counter(first)
    assert kinds.keys() == {
        "200", "500", "503", "429", "cut", "cut body", "200 not JSON", "500 not JSON", "502 not JSON",
        "503 not JSON",
    }  # fmt: skip
    assert 150 < kinds["200"] < 220
    assert await run(1) == first
    assert await run(2) != first


def test_a_misspelt_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="bad_some"):
        Faults(targeted={TICKER: "bad_some"})

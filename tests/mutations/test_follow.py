"""The service against absurd values: it stays, says what fails, and is whole soon after the lies have ended."""

from functools import partial
from random import Random

import pytest

from tests.follow.following import TICKERS, LivingWorld, after, following, serving
from tests.mutations.lies import FIELDS, Liar, Lie
from tests.mutations.values import endless
from tests.support.backfills import assert_holds_all, trade_row
from tests.support.relay import relaying

_FASTER = 40.0
"""What failed is tried again after 20 s of the steady clock."""


def _told(liar: Liar, lies: int) -> bool:
    return len(liar.told) >= lies


async def rounds(number: int, seed: int, database_url: str) -> None:
    """In each round another value of each market is spoilt while it trades, and then none."""
    random = Random(f"follow {seed}")
    fields = {kind: endless(random, FIELDS[kind]) for kind in ("trade", "market", "trades page")}
    values = endless(random)
    world = LivingWorld(after(minutes=30))
    trades = 0
    async with (
        serving(world) as simulator,
        relaying(simulator.url.removesuffix("/trade-api/v2")) as (relay, url),
        following(f"{url}/trade-api/v2", database_url, faster=_FASTER) as service,
    ):
        await service.up_to_date()
        for _ in range(number):
            kinds = [random.choice(tuple(fields)) for _ in TICKERS]
            lies = [
                Lie(kind, ticker, next(fields[kind]), next(values)) for kind, ticker in zip(kinds, TICKERS, strict=True)
            ]
            lies = [lie for lie in lies if not (lie.field == "is_block_trade" and lie.value is True)]
            liar = relay.spoil = Liar(lies)
            for ticker in TICKERS:
                trades += 1
                world.add(trade_row(ticker, after(minutes=30, seconds=-trades), trades))
            await service.until(partial(_told, liar, len(lies) // 2))
            await service.looked_again(simulator, times=5)
            assert not service.task.done()
            relay.spoil = None
            for ticker in TICKERS:
                trades += 1
                world.add(trade_row(ticker, after(minutes=30, seconds=-trades), trades))
            await service.until_rows(database_url, "select count(*) from trades", [(trades,)])
            await service.until(lambda: not service.chicago.failed)
            await assert_holds_all(database_url, world.rows)
            assert service.state.faults == 0, [str(lie) for lie in lies]


async def test_follow_outlives_a_sample_of_absurd_values(database_url: str) -> None:
    await rounds(3, 1, database_url)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
async def test_follow_outlives_hundreds_of_absurd_values(seed: int, database_url: str) -> None:
    await rounds(25, seed + 2, database_url)

"""Work that a stop may cut short: in the caller's own task, and never left behind."""

import asyncio

import pytest

from kalshi_ingest.errors import OutOfReach
from kalshi_ingest.ingest.cancellation import run_until, task_group


async def test_what_the_work_gives() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 42

    assert await run_until(asyncio.Event(), work()) == 42


@pytest.mark.parametrize("grace", [0.0, 0.01])
async def test_a_stop_cancels_it_where_it_waits(grace: float) -> None:
    stop = asyncio.Event()
    ended: list[asyncio.Task[object] | None] = []

    async def work() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(asyncio.current_task())
        return "not cancelled"

    asyncio.get_running_loop().call_soon(stop.set)
    assert await run_until(stop, work(), grace=grace) is None
    assert ended == [asyncio.current_task()], "what it opened can be closed by the task that opened it"
    (task,) = ended
    assert task is not None
    assert task.cancelling() == 0


async def test_work_is_not_begun_after_a_stop() -> None:
    stop = asyncio.Event()
    stop.set()

    async def work() -> str:
        raise AssertionError

    assert await run_until(stop, work()) is None


async def test_work_that_heeds_the_stop_ends_in_order() -> None:
    stop = asyncio.Event()

    async def work() -> str:
        await stop.wait()
        await asyncio.sleep(0)
        return "in order"

    asyncio.get_running_loop().call_soon(stop.set)
    assert await run_until(stop, work(), grace=30) == "in order"


async def test_work_does_not_outlive_its_caller() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def work() -> str:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return "not cancelled"

    caller = asyncio.create_task(run_until(asyncio.Event(), work()))
    await began.wait()
    caller.cancel()
    await asyncio.wait([caller])
    assert caller.cancelled()
    assert ended.is_set()


async def test_an_error_of_the_work_is_its_callers() -> None:
    async def work() -> str:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await run_until(asyncio.Event(), work())


async def test_what_goes_wrong_while_it_is_cancelled_is_no_error() -> None:
    stop = asyncio.Event()

    async def work() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError("lost meanwhile") from None
        return "not cancelled"

    asyncio.get_running_loop().call_soon(stop.set)
    assert await run_until(stop, work()) is None


async def test_a_group_whose_task_fails_leaves_its_caller_uncancelled() -> None:
    """Python 3.11 marks it as cancelled when the task fails after the end of the block."""

    async def fails() -> None:
        await asyncio.sleep(0)
        raise OutOfReach("the exchange")

    async def call() -> None:
        async with task_group() as group:
            group.create_task(fails())
            group.create_task(asyncio.Event().wait())

    caller = asyncio.current_task()
    assert caller is not None
    with pytest.raises(OutOfReach, match="the exchange"):
        await call()
    assert caller.cancelling() == 0


async def test_a_group_whose_caller_is_cancelled_stays_cancelled() -> None:
    begun = asyncio.Event()

    async def works() -> None:
        begun.set()
        await asyncio.Event().wait()

    async def call() -> None:
        async with task_group() as group:
            group.create_task(works())

    caller = asyncio.create_task(call())
    await begun.wait()
    caller.cancel()
    await asyncio.wait([caller])
    assert caller.cancelled()

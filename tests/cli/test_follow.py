"""`follow` as a user meets it: a real process, real signals, real endpoints, a real database that goes away."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import aiohttp
import orjson
import psutil
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from kalshi_simulator import Faults, Limits, Simulator, SyntheticWorld, WorldConfig
from kalshi_simulator.channel_faults import ChannelFaults
from tests.cli.test_cli import NOWHERE, Ended, ended, one_line, run, started
from tests.support.backfills import assert_holds_all, fetch
from tests.support.patience import COMES, ENDS

NOON = datetime(2026, 6, 10, 18, tzinfo=UTC)
"""Two events of each city trade."""


@pytest.fixture
async def exchange() -> AsyncIterator[Simulator]:
    config = WorldConfig(start=date(2026, 6, 8), end=date(2026, 6, 11), now=NOON, cities=("KXHIGHCHI", "KXHIGHDEN"))
    async with Simulator(SyntheticWorld(config), Limits(requests_per_second=200)) as simulator:
        yield simulator


def settings(exchange: Simulator, database_url: str, **more: str) -> dict[str, str]:
    base = {"API_URL": exchange.url, "DATABASE_URL": database_url, "REQUESTS_PER_SECOND": "150"}
    return base | {"HTTP_PORT": "0"} | more


FOLLOW = ("follow", "--city", "chicago", "--city", "denver", "--weather", "none")


@asynccontextmanager
async def following(known: dict[str, str], *more: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The service, as soon as it listens on a port that it finds, which is then in `known`."""
    process = await started(*FOLLOW, *more, settings=known | {"HTTP_PORT": "0"})
    try:
        known["HTTP_PORT"] = await port_of(process)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def port_of(process: asyncio.subprocess.Process) -> str:
    """The port that the service says it listens on."""
    assert process.stderr is not None
    said = b""
    async with asyncio.timeout(COMES):
        while line := await process.stderr.readline():
            said += line
            if (logged := orjson.loads(line))["event"] == "service_started":
                return str(logged["address"]).rsplit(":", 1)[1]
    raise AssertionError(said.decode())


async def asked(known: dict[str, str], path: str) -> tuple[int, str]:
    """(status, body) of one of its endpoints; status 0 while nobody listens."""
    try:
        address = f"http://127.0.0.1:{known['HTTP_PORT']}{path}"
        async with aiohttp.ClientSession() as http, http.get(address) as answer:
            return answer.status, await answer.text()
    except aiohttp.ClientError:
        return 0, ""


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = COMES) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.1)


async def until_ready(known: dict[str, str], *, ready: bool = True) -> None:
    async def is_so() -> bool:
        return (await asked(known, "/readyz"))[0] == (200 if ready else 503)

    await until(is_so)


async def until_caught_up(known: dict[str, str]) -> None:
    """Until all is proved; the service is ready before that, as soon as the markets that trade are current."""

    async def is_so() -> bool:
        return 'kalshi_ingest_phase{phase="following"} 1.0' in (await asked(known, "/metrics"))[1]

    await until(is_so)


async def stopped(process: asyncio.subprocess.Process) -> Ended:
    """Told to stop with SIGTERM: its end, which comes soon."""
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(ENDS):
        return await ended(process)


async def test_it_follows_until_it_is_told_to_stop(exchange: Simulator, database_url: str) -> None:
    known = settings(exchange, database_url)
    async with following(known) as process:
        await until_ready(known)
        assert await asked(known, "/livez") == (200, "ok\n")
        status, page = await asked(known, "/")
        assert status == 200
        assert "Chicago" in page
        await until_caught_up(known)
        result = await stopped(process)
    assert result.code == 0, result.err
    assert "Traceback" not in result.err
    assert all(orjson.loads(line) for line in result.err.splitlines())
    rows = await fetch(database_url, "select status, min_event_date, max_event_date, command from ingestion_log")
    expected = ("success", date(2026, 6, 9), date(2026, 6, 10), " ".join(FOLLOW))
    assert [tuple(row) for row in rows] == [expected, expected]


async def test_a_stop_under_load_loses_nothing_that_was_acknowledged(exchange: Simulator, database_url: str) -> None:
    assert isinstance(exchange.world, SyntheticWorld)
    exchange.world.clock.speed = 2000
    known = settings(exchange, database_url)
    async with following(known, "--start", "2026-06-08") as process:

        async def busy() -> bool:
            return int((await fetch(database_url, "select count(*) from trades"))[0][0]) > 1_000

        await until(busy)
        result = await stopped(process)
    assert result.code == 0, result.err
    claimed = "select ticker, trades_stored, contracts_stored from checkpoints where trades_stored > 0 order by 1"
    held = "select ticker, count(*), sum(count) from trades group by 1 order by 1"
    assert await fetch(database_url, claimed) == await fetch(database_url, held)


async def test_a_start_goes_on_from_where_a_kill_left_it(exchange: Simulator, database_url: str) -> None:
    known = settings(exchange, database_url)
    async with following(known, "--start", "2026-06-08") as process:
        await until_caught_up(known)
        process.kill()
        await process.wait()
    exchange.stats.reset()
    async with following(known) as process:
        await until_ready(known)
        assert (await stopped(process)).code == 0
    assert exchange.stats.trade_pages == {}  # the volumes show that nothing was missed
    rows = await fetch(database_url, "select status, count(*) from ingestion_log group by 1 order by 1")
    assert [tuple(row) for row in rows] == [("interrupted", 2), ("success", 2)]


async def test_the_exchange_goes_away_and_comes_back(exchange: Simulator, database_url: str) -> None:
    port = int(exchange.url.split(":")[2].split("/")[0])
    known = settings(exchange, database_url)
    async with following(known, "--stale-after", "3") as process:
        await until_ready(known)
        await exchange.stop()
        await until_ready(known, ready=False)
        assert "s old, more than 3" in (await asked(known, "/readyz"))[1]
        await exchange.start(port=port)
        await until_ready(known)
        assert (await stopped(process)).code == 0


async def test_it_waits_for_an_exchange_that_is_not_there_yet(database_url: str) -> None:
    known = {"API_URL": NOWHERE, "DATABASE_URL": database_url}
    async with following(known) as process:

        async def waiting() -> bool:
            return 'phase="exchange away"} 1.0' in (await asked(known, "/metrics"))[1]

        await until(waiting)
        result = await stopped(process)
    assert result.code == 0, result.err


async def test_a_start_that_is_still_to_come_is_an_empty_gap(exchange: Simulator, database_url: str) -> None:
    """A machine whose clock is behind when it starts must not end the service for good: exit 2 is never restarted."""
    known = settings(exchange, database_url)
    start = datetime.now(UTC).date() + timedelta(days=2)
    async with following(known, "--start", str(start)) as process:
        await until_ready(known)
        assert (await stopped(process)).code == 0


async def test_a_fault_of_the_program_is_said_and_survived(exchange: Simulator, database_url: str) -> None:
    """The server calls a statement nonsense, in words with a password in them."""
    function = """
        create function nonsense() returns trigger language plpgsql as $$ begin
            raise exception 'wrong near postgresql://me:hunter2@host/db' using errcode = '42601';
        end $$
    """
    await fetch(database_url, function)
    await fetch(database_url, "create trigger nonsense before insert on trades execute function nonsense()")
    known = settings(exchange, database_url)
    async with following(known, "--start", "2026-06-08") as process:

        async def said() -> bool:
            return "a fault of the program itself: PostgresSyntaxError" in (await asked(known, "/readyz"))[1]

        await until(said)
        assert 'kalshi_ingest_phase{phase="program fault"} 1.0' in (await asked(known, "/metrics"))[1]
        assert "hunter2" not in (await asked(known, "/readyz"))[1] + (await asked(known, "/"))[1]
        assert await asked(known, "/livez") == (200, "ok\n")
        await fetch(database_url, "drop trigger nonsense on trades")
        await until_ready(known)
        assert await measured(known, "kalshi_ingest_faults_total") >= 1
        result = await stopped(process)
    assert result.code == 0, result.err
    logged = [orjson.loads(line) for line in result.err.splitlines()]
    fault = next(each for each in logged if each["event"] == "program_fault")
    assert "Traceback" in fault["exception"]
    assert "hunter2" not in result.err


async def test_no_database_at_the_start_is_an_error(exchange: Simulator) -> None:
    known = settings(exchange, "postgresql://user:hidden-word@127.0.0.1:9/none")
    result = await run(*FOLLOW, **known)
    assert result.code == 3
    assert "out of reach" in result.err
    assert "hidden-word" not in result.err + result.out


@pytest.mark.parametrize(
    ("arguments", "saying"),
    [
        (("--stale-after", "0"), "--stale-after 0.0 is out of range"),
        (("--stale-after", "nan"), "--stale-after nan is out of range"),
        (("--start", "2026-13-01"), "is not a date"),
        (("--city", "New York"), "retired"),
    ],
)
async def test_wrong_usage(exchange: Simulator, database_url: str, arguments: tuple[str, ...], saying: str) -> None:
    one_line(await run("follow", *arguments, **settings(exchange, database_url)), code=2, saying=saying)


async def test_a_port_that_is_taken(exchange: Simulator, database_url: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        known = settings(exchange, database_url, HTTP_PORT=str(taken.getsockname()[1]))
        one_line(await run(*FOLLOW, **known), code=2, saying="is taken")


async def test_a_series_nobody_knows(exchange: Simulator, database_url: str) -> None:
    result = await run("follow", "--series", "KXNOSUCH", **settings(exchange, database_url))
    one_line(result, code=2, saying="knows no series KXNOSUCH")


def a_key(folder: Path) -> tuple[Path, bytes]:
    """A private key in a file, and its public half."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path = folder / "key.pem"
    nothing = serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, nothing))
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return path, key.public_key().public_bytes(serialization.Encoding.PEM, form)


async def measured(known: dict[str, str], name: str) -> float:
    """One number of /metrics; 0 while it is not there."""
    lines = (await asked(known, "/metrics"))[1].splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + " ")), 0.0)


async def test_with_a_key_trades_are_announced_and_what_is_lost_is_asked_for(tmp_path: Path, database_url: str) -> None:
    """Every fifth message is dropped: REST fills what the WebSocket loses, and only REST's times are stored."""
    path, public = a_key(tmp_path)
    config = WorldConfig(start=date(2026, 6, 9), end=date(2026, 6, 11), now=NOON, cities=("KXHIGHCHI", "KXHIGHDEN"))
    world = SyntheticWorld(config)
    limits = Limits(public_key_pem=public, authenticated_requests_per_second=100)
    async with Simulator(world, limits, Faults(channel=ChannelFaults(drop_every=5))) as exchange:
        known = settings(exchange, database_url, API_KEY_ID="key", PRIVATE_KEY_PATH=str(path))
        known["REQUESTS_PER_SECOND"] = "80"
        async with following(known, "--start", "2026-06-09") as process:
            await until_ready(known)
            world.clock.speed = 300

            async def announced_and_lost() -> bool:
                gaps = await measured(known, "kalshi_ingest_channel_gaps_total")
                return gaps >= 3 and await measured(known, "kalshi_ingest_channel_messages_total") >= 30

            await until(announced_and_lost)
            world.clock.speed = 0

            async def all_there() -> bool:
                held = await fetch(database_url, "select count(*) from trades")
                return int(held[0][0]) == sum(world.trade_count(ticker) for ticker in world.market_tickers())

            await until(all_there)
            result = await stopped(process)
    assert result.code == 0, result.err
    await assert_holds_all(database_url, world)
    assert exchange.stats.throttled == 0


async def is_frozen(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED


async def test_a_frozen_process_catches_up(exchange: Simulator, database_url: str) -> None:
    """As in a suspended machine: meanwhile markets closed and settled, and new ones opened."""
    assert isinstance(exchange.world, SyntheticWorld)
    known = settings(exchange, database_url)
    async with following(known, "--stale-after", "2", "--start", "2026-06-08") as process:
        await until_ready(known)
        process.send_signal(signal.SIGSTOP)
        await until(lambda: is_frozen(process.pid))
        exchange.world.now = NOON + timedelta(hours=30)
        process.send_signal(signal.SIGCONT)
        await until_ready(known)

        async def proved() -> bool:
            rows = await fetch(database_url, "select count(*) from checkpoints where state = 'complete'")
            settled = [each for each in exchange.world.entries(None) if each.status == "finalized"]
            return int(rows[0][0]) == len(settled)

        await until(proved)
        assert (await stopped(process)).code == 0

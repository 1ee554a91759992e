import asyncio
import gc
import io
import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ingest.logs import configure, redact
from tests.support.patience import COMES

SECRET = "s3cr3t"
PEM = f"-----BEGIN RSA PRIVATE KEY-----\nMII{SECRET}\n-----END RSA PRIVATE KEY-----"
BARE = "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----"


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def logged(**fields: object) -> dict[str, Any]:
    stream = io.StringIO()
    configure("json", "debug", stream)
    structlog.get_logger().info("happened", **fields)
    (line,) = lines(stream)
    return line


def test_json_lines_carry_time_level_event_and_fields() -> None:
    before = datetime.now(UTC)
    line = logged(city="chicago", trades=12, share=0.5, done=True, missing=None)
    assert list(line) == ["timestamp", "level", "event", "city", "trades", "share", "done", "missing"]
    assert line["timestamp"].endswith("Z")
    assert before <= datetime.fromisoformat(line["timestamp"]) <= datetime.now(UTC)
    assert (line["level"], line["event"]) == ("info", "happened")
    assert (line["city"], line["trades"], line["share"], line["done"], line["missing"]) == (
        "chicago",
        12,
        0.5,
        True,
        None,
    )


def test_values_of_any_kind_become_json() -> None:
    class Rude:
        def __str__(self) -> str:
            raise RuntimeError("no")

    line = logged(
        price=Decimal("0.410000"),
        day=date(2025, 5, 2),
        path=Path("a/b"),
        pages=(1, 2),
        nested={"a": {"b": [Decimal(1)]}},
        big=2**80,
        error=ValueError("bad"),
        raw=b"\xffabc",
        rude=Rude(),
        odd="\udcff",
        huge="x" * 1_000_000,
    )
    assert (line["price"], line["day"], line["path"], line["pages"]) == ("0.410000", "2025-05-02", "a/b", [1, 2])
    assert line["nested"] == {"a": {"b": ["1"]}}
    assert (line["big"], line["error"]) == (str(2**80), "ValueError('bad')")
    assert line["rude"] == "<Rude that fails to show itself: RuntimeError>"
    assert line["odd"] == "?"
    assert len(line["huge"]) < 30_000


def test_auto_is_json_off_a_terminal_and_coloured_text_on_one() -> None:
    plain, terminal = io.StringIO(), Terminal()
    for stream in (plain, terminal):
        configure("auto", "info", stream)
        structlog.get_logger().info("happened", city="miami")
    assert lines(plain)[0]["city"] == "miami"
    assert "\x1b[" in terminal.getvalue()
    assert "happened" in terminal.getvalue()
    assert "miami" in terminal.getvalue()


def test_the_format_can_be_forced() -> None:
    terminal, plain = Terminal(), io.StringIO()
    configure("json", "info", terminal)
    structlog.get_logger().info("happened")
    assert lines(terminal)[0]["event"] == "happened"
    configure("console", "info", plain)
    structlog.get_logger().info("happened")
    assert not plain.getvalue().startswith("{")


@pytest.mark.parametrize(("level", "seen"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_decides_what_is_shown(level: Any, seen: int) -> None:
    stream = io.StringIO()
    configure("json", level, stream)
    log = structlog.get_logger()
    for method in (log.debug, log.info, log.warning, log.error):
        method("happened")
    assert [line["level"] for line in lines(stream)] == ["debug", "info", "warning", "error"][4 - seen :]


def test_logs_go_to_standard_error_as_it_is_at_that_moment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure("auto", "info")
    structlog.get_logger().info("first")
    swapped = io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", swapped)
        structlog.get_logger().info("second")
        logging.getLogger("lib").warning("third")
    out, err = capsys.readouterr()
    assert out == ""
    assert [json.loads(line)["event"] for line in err.splitlines()] == ["first"]
    assert [line["event"] for line in lines(swapped)] == ["second", "third"]


def test_libraries_go_the_same_way_from_warning_on() -> None:
    stream = io.StringIO()
    configure("json", "debug", stream)
    library = logging.getLogger("aiohttp.client")
    library.info("not shown")
    library.warning("cannot reach %s", f"postgresql://u:{SECRET}@h/d")
    (line,) = lines(stream)
    assert line["level"] == "warning"
    assert line["logger"] == "aiohttp.client"
    assert line["event"] == "cannot reach postgresql://u:***@h/d"
    assert line["timestamp"].endswith("Z")


def test_libraries_are_quieter_when_the_program_is() -> None:
    stream = io.StringIO()
    configure("json", "error", stream)
    logging.getLogger("aiohttp").warning("not shown")
    logging.getLogger("aiohttp").error("shown")
    assert [line["event"] for line in lines(stream)] == ["shown"]


def test_a_lost_tasks_error_is_a_log_line_without_its_secret() -> None:
    stream = io.StringIO()
    configure("json", "info", stream)

    async def fails() -> None:
        raise RuntimeError(f"GET https://h/x?unitGroup=us&key={SECRET}&contentType=json")

    async def main() -> None:
        task = asyncio.create_task(fails())
        await asyncio.sleep(0)
        del task
        gc.collect()

    asyncio.run(main())
    (line,) = lines(stream)
    assert (line["logger"], line["level"]) == ("asyncio", "error")
    assert "RuntimeError: GET https://h/x?unitGroup=us&key=***&contentType=json" in line["exception"]
    assert SECRET not in stream.getvalue()


def test_configuring_again_replaces_what_was_set() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure("json", "info", first)
    log = structlog.get_logger()
    configure("json", "info", second)
    log.info("own")
    logging.getLogger("lib").warning("library")
    assert first.getvalue() == ""
    assert [line["event"] for line in lines(second)] == ["own", "library"]


@pytest.mark.parametrize("format", ["json", "console"])
def test_exceptions_are_whole_and_masked(format: Any) -> None:
    stream = io.StringIO()
    configure(format, "info", stream)
    url = f"postgresql://user:{SECRET}@host:5432/db"
    try:
        raise ConnectionError(f"cannot connect to {url}")
    except ConnectionError as error:
        structlog.get_logger().exception("failed", url=url, error=error)
    text = stream.getvalue()
    assert SECRET not in text
    assert "Traceback" in text
    assert "ConnectionError: cannot connect to postgresql://user:***@host:5432/db" in text
    if format == "json":
        assert text.count("\n") == 1


def test_context_variables_are_shown() -> None:
    stream = io.StringIO()
    configure("json", "info", stream)
    with structlog.contextvars.bound_contextvars(ticker="KXHIGHCHI-25NOV14-T62"):
        structlog.get_logger().info("happened")
    assert lines(stream)[0]["ticker"] == "KXHIGHCHI-25NOV14-T62"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"postgresql://user:{SECRET}@host:5432/db", "postgresql://user:***@host:5432/db"),
        (f"postgres://user:{SECRET}@/db?host=/tmp", "postgres://user:***@/db?host=/tmp"),
        (f"postgresql://user:a@b/{SECRET}:c@host/db", "postgresql://user:***@host/db"),
        (f"postgresql://:{SECRET}@host", "postgresql://:***@host"),
        ("postgresql://user:12345@host", "postgresql://user:***@host"),
        (f"postgresql://h/db?user=u&password={SECRET}&x=1", "postgresql://h/db?user=u&password=***&x=1"),
        (f"host=h password={SECRET} dbname=d", "host=h password=*** dbname=d"),
        (f"host=h password='a {SECRET}' dbname=d", "host=h password=*** dbname=d"),
        (f"host=h password='a {SECRET}", "host=h password=***"),
        (f'password="a {SECRET}" b=c', "password=*** b=c"),
        (f"postgresql://h/d?password=a,b;c)d'e{SECRET}&x=1", "postgresql://h/d?password=***&x=1"),
        (f"postgresql://u@h/d?sslpassword={SECRET}&x=1", "postgresql://u@h/d?sslpassword=***&x=1"),
        (f"postgresql://u@h/d?pass%77ord={SECRET}&x=1", "postgresql://u@h/d?pass%77ord=***&x=1"),
        (f"postgresql://u:{SECRET}@h1:1,h2:2/d", "postgresql://u:***@h1:1,h2:2/d"),
        (f"postgresql://u:12?{SECRET}@h/d", "postgresql://u:***@h/d"),
        (f"s3://a:{SECRET}@b/c?secret_key={SECRET}&scheme=http", "s3://a:***@b/c?secret_key=***&scheme=http"),
        (f"PGPASSWORD={SECRET}", "PGPASSWORD=***"),
        (f"https://v/timeline/x?unitGroup=us&key={SECRET}&a=b", "https://v/timeline/x?unitGroup=us&key=***&a=b"),
        (f"https://v/x?key={SECRET}", "https://v/x?key=***"),
        (f"URL('https://v/x?api_key={SECRET}')", "URL('https://v/x?api_key=***')"),
        (f"KALSHI_INGEST_VISUAL_CROSSING_KEY={SECRET}", "KALSHI_INGEST_VISUAL_CROSSING_KEY=***"),
        (f"KALSHI-ACCESS-SIGNATURE: {SECRET}+/=\nA: b", "KALSHI-ACCESS-SIGNATURE: ***\nA: b"),
        (f"{{'KALSHI-ACCESS-KEY': '{SECRET}', 'a': 1}}", "{'KALSHI-ACCESS-KEY': '***', 'a': 1}"),
        (f"('kalshi-access-key', b'{SECRET}')", "('kalshi-access-key', b'***')"),
        (f"Authorization: Bearer {SECRET}", "Authorization: Bearer ***"),
        (f'{{"password":"a\\"{SECRET}","b":"c"}}', '{"password":"***","b":"c"}'),
        (f"before {PEM} after", f"before {BARE} after"),
        (PEM[:45] + SECRET, "-----BEGIN RSA PRIVATE KEY-----***"),
        (repr(PEM), f"'{BARE}'"),
    ],
)
def test_secrets_are_masked(text: str, masked: str) -> None:
    assert redact(text) == masked
    assert redact(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://localhost:8080/trade-api/v2/markets?limit=1000&cursor=abc@def",
        "https://external-api.kalshi.com/trade-api/v2",
        "http://[::1]:8080/x mail a@b",
        "postgresql://user@host:5432/db",
        "monkey=3 turkey=4 keys=5 city=chicago",
        "primary key (ticker, created_time, trade_id)",
        "KXHIGHCHI-25NOV14-B55.5: count_fp is missing",
        "api_key_id is set",
    ],
)
def test_what_is_no_secret_stays_readable(text: str) -> None:
    assert redact(text) == text


def test_fields_are_masked_by_name_and_by_content_at_any_depth() -> None:
    deep: Any = f"postgresql://u:{SECRET}@h"
    for _ in range(20):
        deep = {"a": [deep]}
    line = logged(
        password=SECRET,
        headers={"KALSHI-ACCESS-KEY": SECRET, "KALSHI-ACCESS-SIGNATURE": SECRET, "Accept": "x"},
        params=[("key", SECRET), {"key": SECRET}],
        text=f"token={SECRET}",
        error=OSError(f"postgresql://u:{SECRET}@h"),
        deep=deep,
        pem={"x": PEM.encode()},
    )
    assert SECRET not in json.dumps(line)
    assert line["headers"] == {"KALSHI-ACCESS-KEY": "***", "KALSHI-ACCESS-SIGNATURE": "***", "Accept": "x"}


@pytest.mark.parametrize(
    "piece", ["a", "://x:", "key=", "password", "'", "-----BEGIN A-----", "\\", "KALSHI-ACCESS-A", "%41"]
)
def test_masking_a_long_text_takes_no_time(piece: str) -> None:
    text = f"?{piece * (50_000 // len(piece))}"
    began = time.process_time()
    redact(text)
    assert time.process_time() - began < 5


@given(st.text(st.characters(exclude_characters="@", exclude_categories=["Z", "C"]), min_size=1))
def test_no_password_in_a_url_survives(password: str) -> None:
    masked = redact(f"postgresql://user:x{password}@host/db")
    assert masked == "postgresql://user:***@host/db"


@given(st.text())
def test_any_text_can_be_masked(text: str) -> None:
    assert isinstance(redact(text), str)


def test_in_a_real_process_results_and_logs_are_apart() -> None:
    program = (
        "import structlog, logging\n"
        "from kalshi_ingest.logs import configure\n"
        "configure()\n"
        "structlog.get_logger().info('happened', url='postgresql://u:s3cr3t@h/d')\n"
        "logging.getLogger('aiohttp').error('also')\n"
        "print('result')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=COMES)
    assert done.stdout == "result\n"
    first, second = [json.loads(line) for line in done.stderr.splitlines()]
    assert first["url"] == "postgresql://u:***@h/d"
    assert (second["event"], second["logger"]) == ("also", "aiohttp")

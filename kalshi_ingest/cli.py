"""The command line: the only place that builds things, reads settings and clock, and picks exit codes."""

import argparse
import errno
import importlib
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from kalshi_ingest import logs, terminal
from kalshi_ingest.commands.signals import handled
from kalshi_ingest.errors import IngestError, OutOfReach, Unusable
from kalshi_ingest.exit_codes import FAULT, INTERRUPTED, OUT_OF_REACH, UNUSABLE
from kalshi_ingest.jobs.simulation import add_simulate_options
from kalshi_ingest.settings import Settings, load_settings
from kalshi_ingest.store.sqlstate import translated

Handler = Callable[[argparse.Namespace, Settings], int]
Command = Callable[[str, str, str], argparse.ArgumentParser]
"""(name, handler, help) → the command's own parser."""

_EXHAUSTED = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO)
"""What the machine may lack, or be ill with, wherever a file is opened or written. All else about a file that the user
named is explained where it is used; what comes here raw nobody foresaw."""

_DATABASE, _LOGS = ("database_url", "database_schema", "data_dir"), ("log_format", "log_level")
_EXCHANGE = ("api_url", "api_key_id", "private_key_path", "requests_per_second", "workers")
_WEATHER = ("iem_url", "ncei_url", "visual_crossing_url", "visual_crossing_key")
_HTTP = ("http_host", "http_port")
_USED = {
    "backfill": _EXCHANGE + _DATABASE + _LOGS,
    "follow": _EXCHANGE + _DATABASE + _WEATHER + _HTTP + _LOGS,
    "coverage": _EXCHANGE + _DATABASE + _LOGS,
    "export": _DATABASE + _LOGS,
    "load": _DATABASE + _LOGS,
    "weather": _DATABASE + _WEATHER + _LOGS,
    "status": _DATABASE + _LOGS,
    "migrate": _DATABASE + _LOGS,
    "database": _DATABASE + _LOGS,
    "simulate": _LOGS,
    "demo": ("data_dir",),
}
"""The settings that a command heeds. It takes the others too, for scripts that pass them to all; its help is silent."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; every foreseen error is one line on stderr."""
    terminal.prepare()
    try:
        return _ended(argv)
    finally:
        terminal.finish()


def _ended(argv: Sequence[str] | None) -> int:
    parser = _parser()
    arguments, unknown = parser.parse_known_args(argv)
    arguments.passed_on = [word for word in unknown if word != "--"]
    if unknown and getattr(arguments, "what", None) != "psql":
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    with handled() as signals, _told() as outcome:
        settings = load_settings({name: getattr(arguments, name) for name in Settings.model_fields})
        logs.configure(settings.log_format, settings.log_level)
        with signals.deferred():
            handler = _handler(arguments.handler)
        outcome.append(handler(arguments, settings))
    return outcome[-1]


def _handler(name: str) -> Handler:
    """The function behind `module.function`. Only its own module is loaded: Parquet alone takes 60 MB."""
    module, _, function = name.partition(".")
    handler: Handler = getattr(importlib.import_module(f"kalshi_ingest.commands.{module}"), function)
    return handler


@contextmanager
def _told() -> Iterator[list[int]]:
    """Turn foreseen errors into one clear line, others into their traceback, and choose the exit code."""
    outcome: list[int] = []
    try:
        yield outcome
    except KeyboardInterrupt:
        outcome.append(INTERRUPTED)
    except Exception as error:
        meaning = translated(error)
        if isinstance(meaning, OSError) and meaning.errno in _EXHAUSTED:
            meaning = OutOfReach(f"the machine does not let the program work: {meaning}; mend it, then run again")
        if isinstance(meaning, IngestError):
            outcome.append(UNUSABLE if isinstance(meaning, Unusable) else OUT_OF_REACH)
            _complain(str(meaning) or type(meaning).__name__)
        else:
            outcome.append(FAULT)
            terminal.complain(terminal.safe(logs.redact(traceback.format_exc())))
            _complain("a fault of the program itself: please report the lines above; what is committed stays")


def _complain(text: str) -> None:
    terminal.complain(terminal.safe(f"kalshi-ingest: {logs.redact(text)}") + "\n")


class _Parser(argparse.ArgumentParser):
    def _print_message(self, message: str, file: Any = None) -> None:
        with suppress(OSError):  # Python 3.11.2 lets a full disk under standard error take the place of exit code 2
            super()._print_message(message, file)


def _parser() -> argparse.ArgumentParser:
    # A short form that works today would mean something else, or nothing, once another option is added.
    parser = _Parser(
        prog="kalshi-ingest",
        allow_abbrev=False,
        description="Kalshi's daily high-temperature markets in PostgreSQL: every market, every trade, exact candles.",
    )
    add = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, handler: str, text: str) -> argparse.ArgumentParser:
        made = add.add_parser(name, help=text, description=text, allow_abbrev=False)
        made.set_defaults(handler=handler)
        _add_settings(made, _USED[name])
        return made

    _add_fetching(command)
    _add_coverage(command)
    _add_archive(command)
    _add_weather(command)
    _add_looking(command)
    _add_trying(command)
    return parser


def _add_settings(parser: argparse.ArgumentParser, used: Sequence[str]) -> None:
    group = parser.add_argument_group(
        "settings", "each can also come from the environment or .env, as KALSHI_INGEST_ and its name in capitals"
    )
    for name, field in Settings.model_fields.items():
        told = (field.description or "").replace("%", "%%") if name in used else argparse.SUPPRESS
        group.add_argument(f"--{name.replace('_', '-')}", metavar="X", help=told)


def _add_fetching(command: Command) -> None:
    backfill = command(
        "backfill",
        "backfill.backfill",
        "Fetch markets, trades and candles of past event dates; run it again to resume.",
    )
    backfill.add_argument("--start", required=True, help="first event date, YYYY-MM-DD")
    backfill.add_argument("--end", required=True, help="last event date, inclusive, YYYY-MM-DD")
    backfill.add_argument("--city", action="append", default=[], help="a city (repeat for more); all six by default")
    backfill.add_argument("--series", action="append", default=[], help="any other Kalshi series ticker")
    backfill.add_argument("--parquet", metavar="DIR", help="at the end also export what is held of these cities to DIR")

    follow = command(
        "follow",
        "follow.follow",
        "Stay current: close the gap since the last run, then follow every market to its end; runs until stopped.",
    )
    follow.add_argument("--city", action="append", default=[], help="a city (repeat for more); all six by default")
    follow.add_argument("--series", action="append", default=[], help="any other Kalshi series ticker")
    follow.add_argument(
        "--start",
        metavar="D",
        help="first event date to fetch (default: the first that is unfinished, else yesterday's)",
    )
    follow.add_argument(
        "--weather",
        choices=("none", "settlement", "minutes"),
        default="settlement",
        help="what to poll beside the markets: official maxima, or minute weather too (default settlement)",
    )
    follow.add_argument(
        "--stale-after",
        type=float,
        metavar="SECONDS",
        help="/readyz says no when a city's data are vouched for up to a moment longer ago "
        "(default 15, and as much more as a cache before the exchange keeps its answers)",
    )


def _add_coverage(command: Command) -> None:
    coverage = command(
        "coverage",
        "coverage.coverage",
        "What should be there and is not, per city and day; 1 when something is missing.",
    )
    coverage.add_argument("--start", help="first event date (default: the first that any run asked for)")
    coverage.add_argument("--end", help="last event date, inclusive (default: the last that any run asked for)")
    coverage.add_argument(
        "--city",
        action="append",
        default=[],
        help="a city (repeat for more); default: the six, and all else that is held",
    )
    coverage.add_argument("--series", action="append", default=[], help="any other series")
    coverage.add_argument("--json", action="store_true", help="as one JSON object, with every hole")
    coverage.add_argument("--html", metavar="FILE", help="also write one self-contained page with a calendar")
    coverage.add_argument(
        "--fix",
        action="store_true",
        help="forget what cannot be trusted, run the backfill that closes the holes, check again; asks at a terminal",
    )
    coverage.add_argument("--yes", action="store_true", help="with --fix: do not ask first")
    coverage.add_argument("--candles", type=int, metavar="N", help="compare N markets' candles with the exchange's own")
    coverage.add_argument(
        "--seed", type=int, default=0, help="which N markets; the same seed takes the same (default 0)"
    )


def _add_archive(command: Command) -> None:
    export = command("export", "archive.export", "Write the tables as Parquet files, one folder per city.")
    export.add_argument("--output", required=True, metavar="DIR", help="a folder, or a URI such as s3://bucket/folder")
    export.add_argument(
        "--layout",
        choices=("cities", "dataset"),
        default="cities",
        help="dataset: hive folders by series and event date",
    )
    export.add_argument(
        "--city", action="append", default=[], help="a city (repeat for more); all that are held by default"
    )
    export.add_argument("--series", action="append", default=[], help="any other series")

    load = command("load", "archive.load", "Load an archive into the tables; running it again changes nothing.")
    load.add_argument(
        "--input",
        required=True,
        metavar="DIR",
        help="a folder that export wrote, or a URI; also the predecessor's form",
    )
    load.add_argument(
        "--city", action="append", default=[], help="a city (repeat for more); all of the archive by default"
    )
    load.add_argument("--refresh-grid", action="store_true", help="refresh the one-minute weather grid afterwards")


def _add_weather(command: Command) -> None:
    weather = command(
        "weather", "weather.weather", "Official maxima, minute observations, and the one-minute grid made of these."
    )
    weather.add_argument("what", choices=("settlement", "minutes", "grid"))
    weather.add_argument("--start", help="first climate day (default: the first event date held)")
    weather.add_argument("--end", help="last climate day, inclusive (default: today)")
    weather.add_argument("--city", action="append", default=[], help="a city (repeat for more); all six by default")
    weather.add_argument("--json", action="store_true", help="the outcome as one JSON object")
    weather.add_argument("--dry-run", action="store_true", help="minutes: only say what would be fetched and its cost")
    weather.add_argument(
        "--source", choices=("iem", "visualcrossing"), help="of minutes; default: iem, or with a key visualcrossing"
    )
    weather.add_argument("--again", action="store_true", help="fetch what is held too; the grid is always made anew")


def _add_looking(command: Command) -> None:
    status = command("status", "database.status", "What is held, what is in progress, what is left, per series.")
    status.add_argument("--json", action="store_true", help="as JSON")
    status.add_argument("--runs", action="store_true", help="the newest runs instead, a line each")
    status.add_argument(
        "--run", metavar="ID", help="the whole story of one run; the first characters of its id suffice"
    )
    status.add_argument(
        "--forget",
        metavar="ID",
        help="take back what this run asked for, so that coverage does not expect its dates; what is held stays",
    )

    command("migrate", "database.migrate", "Bring the database schema up to date.")

    database = command(
        "database",
        "database.database",
        "The database's address, a shell on it, the rights that it takes, or stop the embedded one.",
    )
    database.add_argument("what", choices=("url", "psql", "stop", "grants"))
    for name, does in (("owner", "migrates"), ("writer", "fetches"), ("reader", "only reads")):
        database.add_argument(
            f"--{name}", default=f"kalshi_{name}", metavar="ROLE", help=f"grants: the role that {does}"
        )
    database.epilog = (
        "url prints the whole address, its password included; psql hides that from other users. grants prints the SQL"
        " that makes the three roles and gives each its rights. Whatever else stands"
        " behind psql is passed on to it: database psql -c 'select 1'."
    )


def _add_trying(command: Command) -> None:
    add_simulate_options(command("simulate", "simulate.simulate", "Serve a simulated exchange on localhost."))

    demo = command("demo", "demo.demo", "Simulated exchange, embedded database and backfill in one, offline.")
    demo.add_argument("--days", type=int, default=30, help="event dates per city (default 30)")

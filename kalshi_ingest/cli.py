"""The command line: the only place that builds things, reads settings and clock, and picks exit codes.

0 done and complete · 1 ran, but something is incomplete (listed) · 2 wrong usage or configuration ·
3 exchange or database out of reach after retries · 130 interrupted, checkpoint kept.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from kalshi_ingest import logs
from kalshi_ingest.commands import backfill as backfilling
from kalshi_ingest.commands import database as looking
from kalshi_ingest.commands import simulate as simulating
from kalshi_ingest.errors import IngestError, Unusable
from kalshi_ingest.jobs.simulation import add_simulate_options
from kalshi_ingest.settings import Settings, load_settings
from kalshi_ingest.store.database import translated

Handler = Callable[[argparse.Namespace, Settings], int]

_UNUSABLE, _OUT_OF_REACH, _INTERRUPTED = 2, 3, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; every foreseen error is one line on stderr."""
    parser = _parser()
    arguments, unknown = parser.parse_known_args(argv)
    arguments.passed_on = [word for word in unknown if word != "--"]
    if unknown and getattr(arguments, "what", None) != "psql":
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    chosen: Handler = arguments.handler
    with _told() as outcome:
        settings = load_settings({name: getattr(arguments, name) for name in Settings.model_fields})
        logs.configure(settings.log_format, settings.log_level)
        outcome.append(chosen(arguments, settings))
    return outcome[-1]


@contextmanager
def _told() -> Iterator[list[int]]:
    """Turn errors into one clear line and the exit code that belongs to them."""
    outcome: list[int] = []
    try:
        yield outcome
    except KeyboardInterrupt:
        outcome.append(_INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        outcome.append(_INTERRUPTED)
    except Exception as error:
        meaning = translated(error)
        if isinstance(meaning, Unusable):
            outcome.append(_UNUSABLE)
        elif isinstance(meaning, IngestError | OSError) or type(meaning).__module__.startswith("asyncpg"):
            outcome.append(_OUT_OF_REACH)
        else:
            raise
        sys.stderr.write(f"kalshi-ingest: {logs.redact(str(meaning) or type(meaning).__name__)}\n")


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    group = common.add_argument_group(
        "settings", "each can also come from the environment or .env, as KALSHI_INGEST_ and its name in capitals"
    )
    for name, field in Settings.model_fields.items():
        group.add_argument(
            f"--{name.replace('_', '-')}", metavar="X", help=(field.description or "").replace("%", "%%")
        )

    parser = argparse.ArgumentParser(
        prog="kalshi-ingest",
        description="Kalshi's daily high-temperature markets in PostgreSQL: every market, every trade, exact candles.",
    )
    add = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, handler: Handler, text: str) -> argparse.ArgumentParser:
        made = add.add_parser(name, help=text, description=text, parents=[common])
        made.set_defaults(handler=handler)
        return made

    backfill = command(
        "backfill",
        backfilling.backfill,
        "Fetch markets, trades and candles of past event dates; run it again to resume.",
    )
    backfill.add_argument("--start", required=True, help="first event date, YYYY-MM-DD")
    backfill.add_argument("--end", required=True, help="last event date, inclusive, YYYY-MM-DD")
    backfill.add_argument("--city", action="append", default=[], help="a city (repeat for more); all six by default")
    backfill.add_argument("--series", action="append", default=[], help="any other Kalshi series ticker")

    status = command("status", looking.status, "What is held, what is in progress, what is left, per series.")
    status.add_argument("--json", action="store_true", help="as JSON")
    status.add_argument("--runs", action="store_true", help="the newest runs instead, a line each")
    status.add_argument(
        "--run", metavar="ID", help="the whole story of one run; the first characters of its id suffice"
    )

    command("migrate", looking.migrate, "Bring the database schema up to date.")

    database = command("database", looking.database, "The database's address, a shell on it, or stop the embedded one.")
    database.add_argument("what", choices=("url", "psql", "stop"))
    database.epilog = "Whatever else stands behind psql is passed on to it: database psql -c 'select 1'."

    add_simulate_options(command("simulate", simulating.simulate, "Serve a simulated exchange on localhost."))

    demo = command("demo", simulating.demo, "Simulated exchange, embedded database and backfill in one, offline.")
    demo.add_argument("--days", type=int, default=30, help="event dates per city (default 30)")
    return parser

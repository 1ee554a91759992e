"""Options that several commands share, and how a command gets its settings."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Annotated, Concatenate, ParamSpec

import structlog
from cyclopts import Group, Parameter, Token

from kalshi_ingest import logs
from kalshi_ingest.cli.help import UNUSED_SETTINGS
from kalshi_ingest.configuration import load_settings
from kalshi_ingest.errors import Unusable
from kalshi_ingest.settings import Settings

P = ParamSpec("P")

log = structlog.get_logger()

DATABASE: tuple[str, ...] = ("database_url", "database_schema", "data_dir")
EXCHANGE: tuple[str, ...] = ("api_url", "api_key_id", "private_key_path", "requests_per_second", "workers")
WEATHER: tuple[str, ...] = ("iem_url", "ncei_url", "visual_crossing_url", "visual_crossing_key")
HTTP: tuple[str, ...] = ("http_host", "http_port")
LOGS: tuple[str, ...] = ("log_format", "log_level")
"""Settings by what they are for."""

_SETTINGS = Group(
    "settings",
    help="each can also come from the environment or .env, as KALSHI_INGEST_ and its name in capitals,"
    " or from kalshi-ingest.toml, as its name with _ for -",
    sort_key=3,
)
_UNUSED = Group(UNUSED_SETTINGS, help="accepted for scripts that pass them to every command, not used here", sort_key=4)


def option(text: str, *, name: str | None = None, metavar: str | None = None) -> Parameter:
    """An option that a command takes, with its help."""
    return Parameter(name=name, help=text, metavar=metavar)


def names(text: str, metavar: str = "NAME") -> Parameter:
    """An option that is repeated, or takes several values with commas between them."""
    return Parameter(help=f"{text} (repeat, or separate with commas)", metavar=metavar, converter=_split)


def _split(_: object, tokens: Sequence[Token]) -> tuple[str, ...]:
    return tuple(name.strip() for token in tokens for name in token.value.split(","))


FLAT = Parameter(name="*")
"""Options gathered in a class are options like any other."""


def command(
    *uses: str, without: Sequence[str] = ()
) -> Callable[[Callable[Concatenate[Settings, P], int]], Callable[P, int]]:
    """A command that uses these settings: each becomes an option, and the function gets what they amount to.

    A command takes the others too, for scripts that pass them to all, but not those of `without`; only `--help-all`
    shows them.
    """

    def given_settings(run: Callable[Concatenate[Settings, P], int]) -> Callable[P, int]:
        @functools.wraps(run)
        def with_settings(*arguments: P.args, **options: P.kwargs) -> int:
            level = _level(options.pop("quiet", False), options.pop("verbose", False), options.get("log_level"))
            given = {name: options.pop(name, None) for name in Settings.model_fields}
            simulated = _simulated(given) if options.pop("simulator", False) else {}
            settings = load_settings(given | simulated | {"log_level": level})
            logs.configure(settings.log_format, settings.log_level)
            if simulated:
                _require_own_database(settings, given)
                log.info("simulator_used", **simulated)
            return run(settings, *arguments, **options)

        signature = inspect.signature(run)
        own = list(signature.parameters.values())[1:]
        settings_taken = [_setting(name, used=name in uses) for name in Settings.model_fields if name not in without]
        common = [each for each in _COMMON if each.name not in without]
        if not _ASKS.isdisjoint(uses):
            common.append(_SIMULATOR)
        taken = [*own, *common, *settings_taken]
        with_settings.__dict__["__signature__"] = signature.replace(parameters=taken)
        return with_settings

    return given_settings


def _level(quiet: object, verbose: object, given: object) -> object:
    """The log level, also by its short names."""
    if not quiet and not verbose:
        return given
    if quiet and verbose:
        raise Unusable("--quiet and --verbose exclude each other: leave one out")
    if given is not None:
        raise Unusable(f"{'--quiet' if quiet else '--verbose'} is a log level: leave out --log-level")
    return "error" if quiet else "debug"


def _simulated(given: Mapping[str, object]) -> dict[str, str]:
    """The addresses of a simulator on its default port. Raises `Unusable` beside an address that was given."""
    addresses: dict[str, str] = import_module("kalshi_simulator.command").default_addresses()
    for name in addresses:
        if given[name] is not None:
            raise Unusable(f"--simulator chooses --{name.replace('_', '-')}: leave one out")
    return addresses


def _require_own_database(settings: Settings, given: Mapping[str, object]) -> None:
    """Made-up data goes to a database only if this very command line names it, or to the embedded one."""
    if settings.database_url is not None and given["database_url"] is None:
        raise Unusable(
            "--simulator fetches made-up data, and KALSHI_INGEST_DATABASE_URL may name a database with real data: name"
            " the one to write to with --database-url on the same command line"
        )


def _keyword(name: str, kind: object, default: object, parameter: Parameter) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, parameter]
    )


def _setting(name: str, *, used: bool) -> inspect.Parameter:
    told = Settings.model_fields[name].description
    return _keyword(name, str | None, None, Parameter(help=told, metavar="X", group=_SETTINGS if used else _UNUSED))


_COMMON = (
    _keyword("quiet", bool, False, Parameter(alias="-q", help="log errors only")),
    _keyword("verbose", bool, False, Parameter(alias="-v", help="log details too")),
)
"""Options of nearly every command."""
_SIMULATOR = _keyword(
    "simulator",
    bool,
    False,
    Parameter(help="instead of Kalshi and the weather services ask the `simulate` that listens on this machine"),
)
_ASKS = frozenset({"api_url", "iem_url"})
"""Settings of commands that send requests."""
COMMON: tuple[str, ...] = tuple(each.name for each in _COMMON)


def command_line(words: Sequence[str], **options: str | Sequence[str] | None) -> str:
    """The command as the ingestion log keeps it."""
    told = list(words)
    for name, value in options.items():
        values = [value] if isinstance(value, str) else value or ()
        told += [f"--{name.replace('_', '-')} {each}" for each in values]
    return " ".join(told)

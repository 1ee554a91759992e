"""Options that several commands share, and how a command gets its settings."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Concatenate, ParamSpec

from cyclopts import Group, Parameter

from kalshi_ingest import logs
from kalshi_ingest.cli.help import UNUSED_SETTINGS
from kalshi_ingest.settings import Settings, load_settings

P = ParamSpec("P")

DATABASE: tuple[str, ...] = ("database_url", "database_schema", "data_dir")
EXCHANGE: tuple[str, ...] = ("api_url", "api_key_id", "private_key_path", "requests_per_second", "workers")
WEATHER: tuple[str, ...] = ("iem_url", "ncei_url", "visual_crossing_url", "visual_crossing_key")
HTTP: tuple[str, ...] = ("http_host", "http_port")
LOGS: tuple[str, ...] = ("log_format", "log_level")
"""Settings by what they are for."""

_SETTINGS = Group(
    "settings",
    help="each can also come from the environment or .env, as KALSHI_INGEST_ and its name in capitals",
    sort_key=3,
)
_UNUSED = Group(UNUSED_SETTINGS, help="accepted for scripts that pass them to every command, not used here", sort_key=4)


def option(text: str, *, name: str | None = None, metavar: str | None = None) -> Parameter:
    """An option that a command takes, with its help."""
    return Parameter(name=name, help=text, metavar=metavar)


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
            settings = load_settings({name: options.pop(name, None) for name in Settings.model_fields})
            logs.configure(settings.log_format, settings.log_level)
            return run(settings, *arguments, **options)

        signature = inspect.signature(run)
        own = list(signature.parameters.values())[1:]
        taken = [*own, *(_option_of(name, used=name in uses) for name in Settings.model_fields if name not in without)]
        with_settings.__dict__["__signature__"] = signature.replace(parameters=taken)
        return with_settings

    return given_settings


def _option_of(name: str, *, used: bool) -> inspect.Parameter:
    parameter = Parameter(
        help=Settings.model_fields[name].description, metavar="X", group=_SETTINGS if used else _UNUSED, show=True
    )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, parameter]
    )


def command_line(words: Sequence[str], **options: str | Sequence[str] | None) -> str:
    """The command as the ingestion log keeps it."""
    told = list(words)
    for name, value in options.items():
        values = [value] if isinstance(value, str) else value or ()
        told += [f"--{name.replace('_', '-')} {each}" for each in values]
    return " ".join(told)

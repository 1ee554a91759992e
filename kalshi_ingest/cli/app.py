"""The tree of commands. A command's module is loaded when its command is called: Parquet alone takes 60 MB."""

from importlib.metadata import version

from cyclopts import App, Group, Parameter
from rich.console import Console

from kalshi_ingest.cli.help import Help

_COMMANDS = {
    "backfill": "Fetch markets, trades and candles of past event dates; run it again to resume.",
    "follow": "Stay current: close the gap since the last run, then follow every market to its end, until stopped.",
    "coverage": "What should be there and is not, per city and day; 1 when something is missing.",
    "export": "Write the tables as Parquet files, one folder per city.",
    "load": "Load an archive into the tables; running it again changes nothing.",
    "weather": "Official maxima, minute observations, and the one-minute grid made of these.",
    "status": "What is held, what is in progress, what is left, per series.",
    "migrate": "Bring the database schema up to date.",
    "database": "The database's address, a shell on it, the rights that it takes, or stop the embedded one.",
    "simulate": "Serve a simulated exchange on localhost.",
    "demo": "Simulated exchange, embedded database and backfill in one, offline.",
}
BELOW = {
    "weather": {
        "settlement": "Official maxima from climate reports, CF6 and GHCN-Daily.",
        "minutes": "Minute observations, from the Iowa Environmental Mesonet or Visual Crossing.",
        "grid": "Refresh the one-minute grid made of the minute observations.",
    },
    "database": {
        "url": "Print the database's whole address, its password included; the embedded server stays up.",
        "psql": "A shell on the database. Whatever else is on the command line is passed on: psql -c 'select 1'.",
        "stop": "Stop the embedded server.",
        "grants": "Print the SQL that makes an owner, a writer and a reader, and gives each its rights.",
    },
}


HELP = frozenset({"--help", "-h"})


def program(console: Console, *, everything: bool = False) -> App:
    """The whole program. Help goes to `console`; with `everything` also the settings that a command does not use."""
    whole = App(
        name="kalshi-ingest",
        help="Kalshi's daily high-temperature markets in PostgreSQL: every market, every trade, exact candles.",
        help_flags=HELP,
        help_format="plaintext",
        help_formatter=Help(everything),
        console=console,
        version=_version,
        default_parameter=Parameter(negative=(), allow_repeating=True, show_default=False),
        group_commands=Group("commands", sort_key=0),
        group_arguments=Group("arguments", sort_key=1),
        group_parameters=Group("options", sort_key=2),
        help_epilogue="--help-all also shows the settings that a command does not use.",
        print_error=False,
        exit_on_error=False,
    )
    for at, (name, text) in enumerate(_COMMANDS.items()):
        if name not in BELOW:
            whole.command(f"kalshi_ingest.cli.{name}:{name}", name=name, help=text, sort_key=at)
            continue
        group = App(name=name, help=text, sort_key=at)
        for place, (below, told) in enumerate(BELOW[name].items()):
            group.command(
                f"kalshi_ingest.cli.{name}:{below}",
                name=below,
                help=told,
                sort_key=place,
                version_flags=() if below == "psql" else ("--version",),  # psql has one of its own
            )
        whole.command(group)
    whole.command(
        "kalshi_ingest.cli.completion:install_completion",
        name="--install-completion",
        help="Install completion for your shell: bash, zsh or fish.",
        sort_key=len(_COMMANDS),
    )
    return whole


def _version() -> str:
    return f"kalshi-ingest {version('kalshi-ingest')}"

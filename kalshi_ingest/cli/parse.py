"""From the words of a command line to the call that they ask for; wrong usage is one line."""

import difflib
import io
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args, get_origin

from cyclopts import App, CoercionError, CycloptsError, MissingArgumentError, UnknownCommandError, UnknownOptionError
from cyclopts.exceptions import UnusedCliTokensError
from rich.console import Console

from kalshi_ingest import terminal
from kalshi_ingest.cli.app import BELOW, HELP, program
from kalshi_ingest.errors import Unusable
from kalshi_ingest.exit_codes import COMPLETE

_FLAGS = {"--json", "--again", "--dry-run", "--quiet", "--verbose", "--simulator"}
"""Options of the commands in `BELOW` that take no value."""

_KINDS: dict[object, str] = {int: "a whole number", float: "a number"}


@dataclass(frozen=True, slots=True)
class Call:
    """What a command line asks for."""

    command: str
    """Such as `weather grid`; empty for the help and version of the whole program."""
    arguments: dict[str, object]
    """By the name of the function's parameter."""
    run: Callable[[], int]
    """Does it; the exit code."""

    def __call__(self) -> int:
        return self.run()


def parse(words: Sequence[str]) -> Call:
    """The call that `words` ask for. Raises `Unusable`."""
    text = io.StringIO()
    console = Console(file=text, width=shutil.get_terminal_size().columns)
    whole = program(console, everything="--help-all" in words)
    ordered = _command_first(["--help" if word == "--help-all" else word for word in words])
    try:
        command, bound, _ = whole.parse_args(ordered)
    except CycloptsError as error:
        raise Unusable(_explained(error)) from None
    if command == whole.help_print and HELP.isdisjoint(ordered):
        raise Unusable(f"name a command: {', '.join(_commands(whole, ordered))}")

    bound.apply_defaults()

    def run() -> int:
        code: int | None = command(*bound.args, **bound.kwargs)
        terminal.write(sys.stdout, text.getvalue())  # help and version print to the console
        return code or COMPLETE

    chain, _, _ = whole.parse_commands(ordered)
    return Call(" ".join(chain), dict(bound.arguments), run)


def _command_first(words: Sequence[str]) -> Sequence[str]:
    """`weather --json grid` as `weather grid --json`: options may stand before the second word of a command too."""
    if not words or words[0] not in BELOW:
        return words
    for at, word in enumerate(words[1:], start=1):
        before = words[at - 1]
        is_value = before.startswith("--") and "=" not in before and before not in _FLAGS
        if word in BELOW[words[0]] and not is_value:
            return [words[0], word, *words[1:at], *words[at + 1 :]]
    return words


def _commands(whole: App, words: Sequence[str]) -> list[str]:
    chain, apps, _ = whole.parse_commands(words)
    return [" ".join([*chain, name]) for name in apps[-1] if not name.startswith("-")]


def _explained(error: CycloptsError) -> str:
    """One line that names what is wrong and, where there is one, the near miss."""
    called = " ".join(error.command_chain or ())
    match error:
        case UnknownCommandError(unused_tokens=[word, *_], app=App() as app):
            if word.startswith("-"):
                return f"options follow a command: kalshi-ingest {called or 'COMMAND'} … {word.partition('=')[0]} …"
            names = [name for name in app if not name.startswith("-")]
            return f"{f'{called} {word}'.strip()} is not a command{_near(word, names)}"
        case UnknownOptionError(token=token):
            word = token.keyword or token.value
            names = [name for each in error.argument_collection for name in each.names if each.show]
            return f"{word} is not an option of {called}{_near(word, names)}"
        case UnusedCliTokensError(unused_tokens=[*words]):
            return f"{called} does not take {' '.join(words)}"
        case MissingArgumentError(argument=argument) if argument is not None:
            given = error.keyword or next((each.keyword for each in argument.tokens if each.keyword), None)
            return f"{given} needs a value" if given else f"{called} needs {argument.name}"
        case CoercionError(token=token, target_type=kind) if token is not None:
            return f"{token.keyword} {token.value} {_wanted(token.value, kind)}"
        case _:
            return " ".join(str(error).split())


def _wanted(value: str, kind: object) -> str:
    if get_origin(kind) is Literal:
        choices = [str(each) for each in get_args(kind)]
        return f"is not one of {', '.join(choices)}{_near(value, choices)}"
    return f"is not {_KINDS.get(kind, 'understood')}"


def _near(word: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(names), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""

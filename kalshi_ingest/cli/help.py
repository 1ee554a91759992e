"""How help looks: plain text in two columns, at a terminal and in a pipe alike."""

import textwrap
from dataclasses import dataclass

from cyclopts.help import HelpEntry, HelpPanel
from rich.console import Console, ConsoleOptions, RenderableType

UNUSED_SETTINGS = "other settings"
"""The title of those that a command accepts, for scripts that pass them to all, and does not use."""

_INDENT, _COLUMN = 2, 26


@dataclass(frozen=True, slots=True)
class Help:
    """Writes help; `everything`: also the settings that a command does not use."""

    everything: bool

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """One group of commands or options."""
        title = _plain(console, options, panel.title)
        entries = [entry for entry in panel.entries if entry.display_labels]
        if not entries or (title == UNUSED_SETTINGS and not self.everything):
            return
        _write(console, f"\n{title}:")
        if told := _plain(console, options, panel.description):
            _write(console, textwrap.indent("\n".join(_wrapped(told, console.width - _INDENT)), " " * _INDENT))
        for entry in entries:
            _write(console, _entry(entry, _plain(console, options, entry.description), console.width))

    def render_usage(self, console: Console, options: ConsoleOptions, usage: RenderableType | None) -> None:
        """The line that says what belongs together."""
        _write(console, f"usage: {_plain(console, options, usage).removeprefix('Usage:').strip()}")

    def render_description(self, console: Console, options: ConsoleOptions, description: RenderableType | None) -> None:
        """What the command does."""
        _write(console, "\n" + "\n".join(_wrapped(_plain(console, options, description), console.width)))


def _entry(entry: HelpEntry, told: str, width: int) -> str:
    names = ", ".join(entry.display_labels_with_metavar)
    if entry.choices:
        told += f" [{', '.join(entry.choices)}]"
    if entry.required:
        told += " (required)"
    column = min(_COLUMN, width // 3)
    lines = _wrapped(told, width - column) or [""]
    first = f"{'':{_INDENT}}{names}"
    if len(first) > column - 2:
        return "\n".join([first, *(f"{'':{column}}{line}" for line in lines)])
    return "\n".join([f"{first:{column}}{lines[0]}", *(f"{'':{column}}{line}" for line in lines[1:])])


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 20), break_on_hyphens=False, break_long_words=False)


def _plain(console: Console, options: ConsoleOptions, told: RenderableType | None) -> str:
    """Its text in one line, without style."""
    if told is None or isinstance(told, str):
        return (told or "").strip()
    segments = console.render(told, options.update(width=100_000))
    return "".join(segment.text for segment in segments).strip()


def _write(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, emoji=False, soft_wrap=True)

"""Writes down what a scene's commands leave behind, one folder a step."""

import itertools
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import orjson

from benchmarks.baseline import files, tables
from benchmarks.baseline.masks import COLUMNS, FIELDS, masked_json, masked_text
from benchmarks.baseline.programs import Ended, Program


@dataclass
class Record:
    """One scene. `known`: addresses and folders of this run → the names that stand for them."""

    program: Program
    folder: Path
    known: dict[str, str]
    columns: Collection[str] = tuple(COLUMNS)
    fields: Mapping[str, str] = field(default_factory=lambda: FIELDS)
    once: Collection[str] = ()
    """Tables of which equal rows count once."""
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _seen: dict[str, str] = field(default_factory=dict)

    async def run(self, name: str, *words: str, **settings: str) -> Ended:
        """Run a command and keep its exit code and what it wrote to standard output."""
        done = await self.program.run(*words, **settings)
        self.keep(name, words, done)
        return done

    def keep(self, name: str, words: Collection[str], done: Ended) -> None:
        """Keep how a command ended. The log goes into `log.txt`, which is not compared."""
        folder = self._step(name)
        command = masked_text(" ".join(words), self.known)
        (folder / "code.txt").write_text(f"{command}\nexit code {done.code}\n")
        (folder / "log.txt").write_text(done.err)
        try:
            self._json(folder / "output.json", orjson.loads(done.out))
        except orjson.JSONDecodeError:
            (folder / "words.txt").write_text(masked_text(done.out, self.known))

    async def tables(self, name: str, url: str) -> None:
        """Keep every table, as far as it is another than at the step before."""
        folder = self._step(name) / "tables"
        folder.mkdir()
        for table, rows in (await tables.tables(url, self.columns, self.fields, self.once)).items():
            same = self._seen.get(table) == rows
            (folder / f"{table}.txt").write_text("as before\n" if same else masked_text(rows, self.known))
            self._seen[table] = rows

    async def definitions(self, name: str, url: str) -> None:
        """Keep what defines the tables, and the comments on them."""
        folder = self._step(name)
        defined, comments = await tables.definitions(url)
        (folder / "definitions.txt").write_text(defined)
        (folder / "words.txt").write_text(comments)

    def files(self, name: str, archive: Path) -> None:
        """Keep every file of an archive."""
        folder = self._step(name) / "files"
        for path, content in files.contents(archive, self.columns).items():
            kept = folder / f"{path}.txt"
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(content)

    def page(self, name: str, html: str) -> None:
        """Keep the words of a page."""
        reader = _Words()
        reader.feed(html)
        self.words(name, "\n".join(reader.words))

    def words(self, name: str, text: str) -> None:
        """Keep what is said to people."""
        (self._step(name) / "words.txt").write_text(masked_text(text, self.known))

    def lines(self, name: str, lines: Collection[str]) -> None:
        """Keep a list that programs rely on."""
        (self._step(name) / "lines.txt").write_text("".join(f"{line}\n" for line in lines))

    def _json(self, path: Path, value: object) -> None:
        masked = masked_json(value, self.fields, self.known)
        path.write_bytes(orjson.dumps(masked, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))

    def _step(self, name: str) -> Path:
        folder = self.folder / f"{next(self._numbers):02}-{name}"
        folder.mkdir(parents=True)
        return folder


class _Words(HTMLParser):
    """The text of a page, and the tags that hold it left out."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._silent = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent = tag in ("style", "script")
        self.words += [value for name, value in attrs if name in ("title", "aria-label", "alt") and value]

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    def handle_data(self, data: str) -> None:
        if not self._silent and data.strip():
            self.words.append(re.sub(r"\s+", " ", data.strip()))

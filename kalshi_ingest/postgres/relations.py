"""The tables and views that the migrations make, read from these."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

WEATHER = "wx"
"""The schema of the weather's tables."""

_RELATION = re.compile(r"^create (?:table|view|materialized view) (?:(\w+)\.)?(\w+)", re.I | re.M)
_SCHEMA = re.compile(r"^create schema (\w+)", re.I | re.M)


@dataclass(frozen=True, slots=True)
class Relation:
    schema: str
    name: str


def made_by(statements: Iterable[str], schema: str) -> list[Relation]:
    """What these migrations make, with the list of the migrations itself; `schema`: where a plain name belongs."""
    made = [Relation(found[1] or schema, found[2]) for text in statements for found in _RELATION.finditer(text)]
    return [Relation(schema, "schema_migrations"), *made]


def schemas_made_by(statements: Iterable[str]) -> list[str]:
    return [found[1] for text in statements for found in _SCHEMA.finditer(text)]

"""Plain text tables, for terminals, pipes and log files alike."""

from collections.abc import Collection, Sequence
from typing import TypeVar

T = TypeVar("T")


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    total: Sequence[object] | None = None,
    optional: Collection[str] = (),
) -> str:
    """A table, numbers to the right and words to the left; `total` goes under a line of its own.

    Columns in `optional` are left out when they hold nothing but zeros, so that a good outcome fits 80 characters.
    """
    kept = [at for at, name in enumerate(header) if name not in optional or any(row[at] for row in rows)]
    header, rows = _only(kept, header), [_only(kept, row) for row in rows]
    total = None if total is None else _only(kept, total)
    body = [[_text(cell) for cell in row] for row in rows]
    last = [] if total is None else [[_text(cell) for cell in total]]
    widths = [max(len(line[column]) for line in [list(header), *body, *last]) for column in range(len(header))]
    numeric = [all(_is_number(row[column]) for row in rows) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, numeric, strict=True)
        ]
        return "  ".join(padded).rstrip()

    rule = "  ".join("-" * width for width in widths)
    lines = [line(list(header)), rule, *(line(row) for row in body)]
    return "\n".join(lines + ([rule, line(last[0])] if last else []))


def _only(columns: Sequence[int], cells: Sequence[T]) -> list[T]:
    return [cells[at] for at in columns]


def _text(cell: object) -> str:
    if cell is None:
        return "-"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def _is_number(cell: object) -> bool:
    return cell is None or isinstance(cell, int | float)

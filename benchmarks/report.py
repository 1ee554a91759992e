"""What the benchmarks print: one row per bar, and the machine it was measured on."""

import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `ok` None: no bar, printed for what it tells."""

    what: str
    measured: str
    bar: str = ""
    ok: bool | None = None

    @property
    def verdict(self) -> str:
        """`ok`, `short`, or an empty text for a figure without a bar."""
        return "" if self.ok is None else "ok" if self.ok else "short"


def table(rows: list[Row]) -> str:
    """A table that is readable as text and as Markdown."""
    lines = [("what", "measured", "bar", "")]
    lines += [(row.what, row.measured, row.bar, row.verdict) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    shown = [
        "| " + " | ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    return "\n".join([shown[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *shown[1:]])


def machine(postgres: str) -> str:
    """Cores, processor and versions."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f"{os.cpu_count()} cores, {_processor()}, {memory:.0f} GiB, {platform.system()} {platform.release()},"
        f" Python {platform.python_version()}, PostgreSQL {postgres}"
    )


def tell(text: str) -> None:
    """Say on stderr how far the run is."""
    print(text, file=sys.stderr, flush=True)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")

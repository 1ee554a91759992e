"""The command line: one module per command, which opens what is needed, runs a job and prints the outcome.

`app` lists the commands, `entry` runs one and turns errors into exit codes, `options` and `parse` hold what commands
share. The only room that builds things, reads settings and clock, and chooses exit codes. Nothing imports it.
"""

from kalshi_ingest.cli.entry import main

__all__ = ["main"]

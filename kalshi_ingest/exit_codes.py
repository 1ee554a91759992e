"""What a command's exit code means."""

COMPLETE = 0
"""Done and complete."""
INCOMPLETE = 1
"""It ran, but something is incomplete, and listed."""
UNUSABLE = 2
"""Wrong usage or configuration."""
OUT_OF_REACH = 3
"""Exchange or database out of reach after retries."""
FAULT = 70
"""A fault of the program itself, with its traceback."""
INTERRUPTED = 130
"""Interrupted; checkpoints are kept."""

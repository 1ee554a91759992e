"""The rules of the trade as pure functions on plain values: no input or output, no clock."""

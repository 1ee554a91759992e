"""The statements of `export` and `load`."""

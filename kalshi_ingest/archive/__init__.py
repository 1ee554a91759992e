"""Parquet files out of the database and into it: `export` and `load`."""

"""The statements of `export` and `load`: reading tables in parts, staging files, merging them."""

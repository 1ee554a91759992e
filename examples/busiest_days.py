"""On which event dates did most contracts trade, city by city? Polars scans the dataset and reads only what it needs.

python examples/busiest_days.py DATASET
"""

import sys
from pathlib import Path

import polars as pl


def busiest(dataset: Path) -> pl.DataFrame:
    """The three event dates of each city with most contracts; counts stay exact decimals."""
    trades = pl.scan_parquet(dataset / "trades/**/*.parquet", hive_partitioning=True)
    markets = pl.scan_parquet(dataset / "markets/**/*.parquet", hive_partitioning=True)
    return (
        trades.select("ticker", "count")
        .join(markets.select("ticker", "city", "event_date"), on="ticker")
        .group_by("city", "event_date")
        .agg(pl.len().alias("trades"), pl.col("count").sum().alias("contracts"))
        .sort("city", "contracts", descending=[False, True])
        .group_by("city", maintain_order=True)
        .head(3)
        .collect()
    )


def main() -> None:
    """Print the table for the dataset that the command line names."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with pl.Config(tbl_rows=-1):
        print(busiest(Path(sys.argv[1])))


if __name__ == "__main__":
    main()

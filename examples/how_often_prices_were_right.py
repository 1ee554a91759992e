"""How often did markets pay that traded at 10, 20, … cents? DuckDB reads the Parquet archive where it lies.

python examples/how_often_prices_were_right.py ARCHIVE
"""

import sys

import duckdb

QUERY = """
with traded as (
    select ticker, floor(yes_price * 10) / 10 as price, sum(trades.count) as contracts
    from read_parquet($archive || '/*/trades.parquet') as trades
    group by all
)
select
    price as from_price,
    count(*) as markets,
    sum(contracts)::decimal(18, 2) as contracts,
    round(avg((result = 'yes')::int), 3) as share_that_paid
from traded
join read_parquet($archive || '/*/markets.parquet') as markets using (ticker)
where result in ('yes', 'no')
group by price
order by price
"""


def main() -> None:
    """Print the table for the archive that the command line names."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(duckdb.sql(QUERY, params={"archive": sys.argv[1]}))


if __name__ == "__main__":
    main()

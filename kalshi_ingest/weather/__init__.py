"""The weather beside the markets: the official maxima that settle them, minute observations, the one-minute grid.

`settlement` and `minutes` are jobs with a plan, queries and a report each, `grid` is a statement, `sources` has one
module per service. Which source takes precedence is a rule of `domain`. Knows nothing of the exchange's requests.
"""

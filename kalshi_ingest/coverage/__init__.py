"""The checker: what should be held and is not, per city and day, and what closes each hole.

`job` reads the evidence with `queries`, judges it with the pure `rules`, and the `report_` modules show the result.
`fix_plan` turns holes into the calls that close them; `cli` runs these, not this room. `candle_audit` compares stored
candles with the exchange's own. Nothing here writes a row.
"""

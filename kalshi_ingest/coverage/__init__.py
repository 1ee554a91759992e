"""What should be held and is not, per city and day, and what closes each hole.

<<<<<<< HEAD
`job` reads the evidence with `queries`, judges it with the pure `rules`, and the `report_` modules show the result.
`fix_plan` turns holes into the calls that close them; `cli` runs these, not this room. `candle_audit` compares stored
candles with the exchange's own. Nothing here writes a row.
=======
`rules` are pure, `queries` read what they judge, `job` puts both together; the rest reports.
>>>>>>> 7b3b9bd (Shorter docstrings in plain English in coverage, pages, http, domain)
"""

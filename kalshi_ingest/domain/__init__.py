"""The rules of the trade as pure functions on plain values: no input or output, no clock, no library but Python's own.

`model` has the values. `walk` and `checkpoint` prove a market complete page by page, `candles` folds trades,
`tickers`, `strikes` and `calendar` read names and days, `settlement` and `nws` find the maximum that settles a day,
`plausible` refuses what cannot be. Imports nothing but `errors`.
"""

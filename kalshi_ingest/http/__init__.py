"""HTTP as every client needs it: pace, bounded bodies, retries, proxies, the server's clock, what stands between.

`client` sends all requests of the program. The room knows no service: what an answer means, and what to do about a
refusal, is for `exchange` and `weather` to judge. Imports `domain` and below.
"""

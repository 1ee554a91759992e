"""HTTP as every client needs it: pace, bounded bodies, proxies, the server's clock, and what stands before a service.

It knows no service. What an answer means, and what to do about a refusal, is for `exchange` and `weather` to judge.
"""

"""`status`: what is held per series (`held`) and what past runs did (`run_history`), also right after a kill.

Reads tables only and asks no service; `--forget` alone writes. Texts and JSON are made here, `cli` prints them.
"""

"""Deliberate bugs in production code, one for each safety rule that code can break, and what must catch each of them.

`make mutants` plants every bug of mutants.yaml, by itself, in a process of its own, and lets its catchers run: a scenario,
a range of chaos seeds, or a test. Only what a judge says counts, never that a log has changed. A bug that nobody catches,
or that cannot be planted any more, is an error.
"""

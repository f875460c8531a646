"""The pure core: what to do, decided from what was seen. Standard library only, no clock, no I/O, no randomness."""

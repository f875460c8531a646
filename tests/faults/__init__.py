"""Faults: each one of docs/failures.md, in a lab of real processes on both API servers, under the judges' eyes."""

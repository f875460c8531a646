"""The command line: `quorate`, and as a kubectl plugin `kubectl quorate`."""

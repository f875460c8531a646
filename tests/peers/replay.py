"""Replay what another system decided: `python tests/peers/replay.py KIND FILE [--json] [-v]`.

Each kind is a module of its own, `tests.peers.KIND`, with `run(path, verbose) -> Outcome`.
"""

import argparse
import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
KINDS = sorted(
    path.stem
    for path in Path(__file__).parent.glob("*.py")
    if path.stem not in {"__init__", "replay", "outcome"} and not path.stem.startswith(("test_", "_"))
)


def main(arguments: list[str] | None = None) -> int:
    """0: nothing differs but what is listed; 1: something does; 2: the file cannot be read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("file", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("-v", "--verbose", action="store_true")
    given = parser.parse_args(arguments)
    try:
        outcome = importlib.import_module(f"tests.peers.{given.kind}").run(given.file, given.verbose)
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"{given.file}: not a file of kind {given.kind}: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    if given.json:
        print(json.dumps({**asdict(outcome), "line": outcome.line}))
        return 1 if outcome.differ else 0
    for case, how in outcome.differ.items():
        print(f"differs: {case}: {how}")
    if given.verbose:
        for case, rule in outcome.deviations.items():
            print(f"listed: {case}: {rule}")
    print(outcome.line)
    return 1 if outcome.differ else 0


if __name__ == "__main__":
    sys.exit(main())

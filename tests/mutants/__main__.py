"""`make mutants`: plant every bug, and say who caught it. Ends with 1 if any survives or cannot be planted.

Of all, or (`python -m tests.mutants NAME...`) of these.
"""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.mutants.catalogue import ROOT, Mutant, MutantError, mutants

LONGEST_S = 300


@dataclass(frozen=True, slots=True)
class Result:
    """How it went with one bug. `caught`: by whom; empty: it survived. `error`: it was not even tried."""

    caught: str = ""
    said: str = ""
    error: str = ""


def tried(name: str, *catchers: str) -> Result:
    """In a process of its own, so that the bug goes with it."""
    command = [sys.executable, "-m", "tests.mutants.run", name, *catchers]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_S, check=False)
    except subprocess.TimeoutExpired:
        return Result(error=f"did not end within {LONGEST_S}s")
    if done.returncode:
        return Result(error=(done.stderr.strip().splitlines() or ["ended without a word"])[-1])
    return Result(**json.loads(done.stdout.strip().splitlines()[-1]))


def main(names: list[str]) -> int:
    began_s = time.monotonic()
    try:
        found = mutants(names)
    except MutantError as error:
        print(error, file=sys.stderr)
        return 1
    catchers = sorted({catcher for mutant in found for catcher in mutant.catchers})
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        sound = pool.submit(tried, "-", *catchers)  # a catcher that cries without a bug catches none
        results = list(pool.map(lambda mutant: tried(mutant.name), found))
    for mutant, result in zip(found, results, strict=True):
        _tell(mutant, result)
    bad = [one for one in results if not one.caught]
    cry = sound.result()
    if cry.caught or cry.error:
        print(f"WITHOUT A BUG  {cry.caught}: {cry.said or cry.error}")
    print(f"{len(found) - len(bad)} of {len(found)} caught in {time.monotonic() - began_s:.0f}s")
    return 1 if bad or cry.caught or cry.error else 0


def _tell(mutant: Mutant, result: Result) -> None:
    if result.caught:
        print(f"caught    {mutant.name}: by {result.caught}: {result.said}")
    elif result.error:
        print(f"BROKEN    {mutant.name}: {result.error}")
    else:
        print(f"SURVIVED  {mutant.name} ({mutant.rule}), though {', '.join(mutant.catchers)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

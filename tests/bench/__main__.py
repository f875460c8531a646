"""`make bench`: what the documentation claims about time, measured on this machine, into docs/benchmarks.md.

python -m tests.bench [--runs N] [--control-plane embedded,real] [--output FILE]
"""

import argparse
import os
import platform
import sys
from pathlib import Path
from typing import Final

from tests.bench import planning, power_loss

PAGE: Final = """\
# Benchmarks

Written by `make bench`, measured on {machine}. Absolute times differ between machines; a recovery is mostly waiting by
design (T in [architecture](architecture.md)) and hardly depends on it.

## Power loss

In the lab, three nodes: from cutting the power of the guest's node until the guest is Ready on another one by the API, and
seen running there by the observer. T is when the dead node's Lease may be taken. Proxmox VE: about 120 s, as long as its
locks live.

{losses}

## Planning

One `plan()` of a cluster in which every guest is new and needs a node, and of the same one when all run and nothing is to
be done; median of 15. The manager plans when something changes, and about once a second.

{plans}
"""


def main() -> int:
    """Measure everything; 1 if a goal was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="power losses for each profile and API server")
    parser.add_argument("--control-plane", default="embedded,real", help="the API servers, with commas")
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks.md"))
    given = parser.parse_args()
    losses = power_loss.measure(given.control_plane.split(","), given.runs)
    plans = planning.measure()
    given.output.write_text(page(losses, plans))
    print(f"written to {given.output}")
    return 0 if all(loss.reached for loss in losses) else 1


def page(losses: list[power_loss.Series], plans: list[planning.Planned]) -> str:
    """The document."""
    return PAGE.format(
        machine=f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}",
        losses="\n".join(power_loss.table(losses)),
        plans="\n".join(planning.table(plans)),
    )


if __name__ == "__main__":
    sys.exit(main())

"""A guest that cannot be quiet: appends a line "<instance> <counter> <node>" to a file for as long as it runs.

    python -m quorate.lab.guest --file data/journal --every 0.01

The file is on a volume that all nodes share. Two instances at once would mix their lines: see `journal.py`. One that a live
migration has moved goes on counting: its memory came with it.
"""

import argparse
import itertools
import os
import signal
import sys
import time

from quorate.lab import processes


def main() -> None:
    """Write until told to end."""
    parser = argparse.ArgumentParser(prog="python -m quorate.lab.guest")
    parser.add_argument("--file", required=True, help="relative to the container's root")
    parser.add_argument("--every", type=float, default=0.01, metavar="SECONDS", help="0: as fast as it can")
    parser.add_argument("--instance", default=os.environ.get(processes.INSTANCE, "unknown"))
    parser.add_argument("--node", default=os.environ.get(processes.NODE, "unknown"))
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    path = os.path.join(os.environ.get("QUORATE_ROOT", "."), arguments.file)  # noqa: PTH118 pathlib costs 10 ms a start
    journal = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    first = _counted(path, arguments.instance) + 1 if os.environ.get(processes.RESUMED) else 1
    for counter in itertools.count(first):
        # One write a line: appends are atomic, lines never mix within themselves.
        os.write(journal, f"{arguments.instance} {counter} {arguments.node}\n".encode())
        time.sleep(arguments.every)


def _counted(path: str, instance: str) -> int:
    """How far this instance has counted, by the last whole line that is its own."""
    with open(path, encoding="ascii", errors="replace") as journal:  # noqa: PTH123 as above
        lines = [line.split() for line in journal.read().split("\n")[:-1]]
    return max((int(words[1]) for words in lines if len(words) == 3 and words[0] == instance), default=0)


if __name__ == "__main__":
    main()

"""Runs a command that the kernel kills when the process that asked for it ends: nothing outlives a daemon that crashed.

python -m quorate.lab.leash PARENT_PID COMMAND...
"""

import os
import sys

from quorate.lab.processes import die_with_parent


def main() -> None:
    """Become the command."""
    die_with_parent(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 there is no shell, and none is wanted


if __name__ == "__main__":
    main()

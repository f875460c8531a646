"""`python -m quorate.agent`: the keeper, which starts the loop; the loop reads the arguments and says what is wrong."""

import logging
import sys
from collections.abc import Sequence

from quorate.agent.keeper import Keeper


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns the exit code."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return Keeper(sys.argv[1:] if argv is None else list(argv)).run()


if __name__ == "__main__":
    sys.exit(main())

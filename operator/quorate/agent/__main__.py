"""`python -m quorate.agent`: the keeper, which starts the loop."""

import logging
import sys
from collections.abc import Sequence

from quorate.agent.arguments import parse
from quorate.agent.keeper import Keeper


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns the exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    parse(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return Keeper(arguments).run()


if __name__ == "__main__":
    sys.exit(main())

"""The diagram of a guest's states in docs/behaviour.md, drawn from the table that the planner uses: `make states`."""

import re
from pathlib import Path
from typing import Final

from quorate.core.moves import MOVES
from quorate.core.types import GuestState

PAGE: Final = Path(__file__).parents[1] / "docs" / "behaviour.md"
BLOCK: Final = re.compile(r"```mermaid\nstateDiagram-v2\n.*?```\n", re.DOTALL)
EVERYWHERE: Final = (GuestState.IGNORED,)
"""Entered from every state: an arrow from each would hide the others."""


def diagram() -> str:
    """Every move of the table as an arrow; those into `EVERYWHERE` are told beside it."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {GuestState.QUEUED}"]
    for before, following in MOVES.items():
        lines += [f"    {before} --> {after}" for after in GuestState if after in following and after not in EVERYWHERE]
    return "\n".join([*lines, "```", ""])


def main() -> None:
    """Write it into the page."""
    PAGE.write_text(BLOCK.sub(lambda _: diagram(), PAGE.read_text(), count=1))


if __name__ == "__main__":
    main()

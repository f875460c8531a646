"""What a replay found: cases that agree, that differ as is listed and explained, and that differ."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

DEVIATIONS = Path(__file__).with_name("deviations.yaml")


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference in words, and the deviation it falls under; "" for none."""

    text: str
    rule: str = ""


@dataclass
class Outcome:
    """`deviations`: case -> the listed deviations that explain all of it; `differ`: case -> what nothing explains.

    `listed`: the deviations from this peer, each with its reason.
    """

    listed: Mapping[str, str] = field(default_factory=dict)
    total: int = 0
    agree: int = 0
    deviations: dict[str, str] = field(default_factory=dict)
    differ: dict[str, str] = field(default_factory=dict)

    @property
    def line(self) -> str:
        return (
            f"agree {self.agree}, listed deviations {len(self.deviations)}, differ {len(self.differ)}, of {self.total}"
        )

    def settle(self, case: str, differences: Iterable[Difference]) -> None:
        """Count one case."""
        found = list(differences)
        open_ = [one.text for one in found if one.rule not in self.listed]
        self.total += 1
        if open_:
            self.differ[case] = "; ".join(open_)
        elif found:
            self.deviations[case] = ", ".join(dict.fromkeys(one.rule for one in found))
        else:
            self.agree += 1


def listed(peer: str) -> dict[str, str]:
    """The deviations from one peer: rule -> why ours is better for the user."""
    found: list[dict[str, Any]] = yaml.safe_load(DEVIATIONS.read_text()) or []
    return {one["rule"]: one["reason"] for one in found if one["peer"] == peer}

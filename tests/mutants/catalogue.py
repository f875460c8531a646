"""mutants.yaml, read and checked."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = ROOT / "operator" / "quorate"
FILE: Final = Path(__file__).with_name("mutants.yaml")


class MutantError(Exception):
    """A bug that cannot be planted, or a catcher that does not exist; the message names it."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One bug. `rule`: what it breaks. `file` is below operator/quorate; `old` becomes `new`. `catchers`: see `run.py`."""

    name: str
    rule: str
    file: str
    old: str
    new: str
    catchers: tuple[str, ...]

    @property
    def module(self) -> str:
        return ".".join(("quorate", *Path(self.file).with_suffix("").parts))

    def source(self) -> str:
        """The module with the bug in it. Raises MutantError."""
        path = SOURCES / self.file
        if not path.exists():
            raise MutantError(f"{self.name}: there is no {self.file} any more")
        text = path.read_text()
        if text.count(self.old) != 1:
            raise MutantError(f"{self.name}: {self.file} has its old text {text.count(self.old)} times, not once")
        return text.replace(self.old, self.new)


def mutants(names: Iterable[str] = ()) -> list[Mutant]:
    """All of them, or those of these names. Raises MutantError."""
    found = [_mutant(name, one) for name, one in yaml.safe_load(FILE.read_text()).items()]
    wanted = list(names)
    unknown = sorted(set(wanted) - {one.name for one in found})
    if unknown:
        raise MutantError(f"no such mutant: {', '.join(unknown)}. There are: {', '.join(one.name for one in found)}")
    return [one for one in found if not wanted or one.name in wanted]


def _mutant(name: str, one: dict[str, Any]) -> Mutant:
    try:
        catchers = (one["caught by"],) if isinstance(one["caught by"], str) else tuple(one["caught by"])
        return Mutant(name, one["rule"], one["file"], one["old"].rstrip("\n"), one["new"].rstrip("\n"), catchers)
    except (KeyError, TypeError, AttributeError) as error:
        raise MutantError(f"{FILE.name}: {name} needs rule, file, old, new and caught by ({error!r})") from error

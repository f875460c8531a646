"""One bug, planted in this process, and what its catchers say: `python -m tests.mutants.run NAME`, or - for none.

    scenario NAME                  a folder of tests/scenarios
    chaos A:B NODES GUESTS         seeds of `quorate sim chaos`
    test NODE-ID                   a test, as pytest names it

Prints one line of JSON: {"caught": by which of them, "said": what it said}; both are empty when nobody noticed.
"""

import importlib
import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from io import StringIO
from pathlib import Path
from types import CodeType, ModuleType

from tests.mutants.catalogue import ROOT, Mutant, mutants

SCENARIOS = ROOT / "tests" / "scenarios"


class _Planted(SourceFileLoader):
    """Loads one module from other text than its file has."""

    text = ""

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.text, self.get_filename(fullname), "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self.mutant, self.text = mutant, mutant.source()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.mutant.module:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = _Planted(fullname, spec.origin)
            spec.loader.text = self.text
        return spec


def plant(mutant: Mutant) -> None:
    """From now on its module has the bug. Nothing of Quorate may have been imported before. Raises MutantError."""
    sys.meta_path.insert(0, _Finder(mutant))
    importlib.import_module(mutant.module)


def catch(catcher: str) -> str:
    """What a catcher found; empty for nothing."""
    kind, *words = catcher.split(maxsplit=3 if catcher.startswith("chaos") else 1)
    match kind:
        case "scenario":
            return _scenario(SCENARIOS / words[0])
        case "chaos":
            first, last = words[0].split(":")
            return _chaos(range(int(first), int(last)), int(words[1]), int(words[2]))
        case "test":
            return _test(words[0])
    raise ValueError(f"{catcher!r}: a catcher is scenario, chaos or test")


def _scenario(folder: Path) -> str:
    from quorate.sim.play import Player
    from quorate.sim.scenario import read

    return next((one.text for one in Player(read(folder)).play().violations), "")


def _chaos(seeds: range, nodes: int, guests: int) -> str:
    from quorate.sim.chaos import play, scenario

    for seed in seeds:
        found = play(scenario(seed, nodes, guests)).violations
        if found:
            return f"seed {seed}: {found[0].text}"
    return ""


def _test(node_id: str) -> str:
    import pytest

    code = pytest.main(["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", str(ROOT / node_id)])
    if code in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        return "it failed" if code else ""
    raise ValueError(f"test {node_id}: pytest ended with {code!r}")


def main(name: str, catchers: Sequence[str]) -> None:
    noise = StringIO()
    with redirect_stdout(noise):
        if name != "-":
            (mutant,) = mutants([name])
            plant(mutant)
            catchers = mutant.catchers
        found = next(((one, said) for one in catchers if (said := catch(one))), ("", ""))
    print(json.dumps({"caught": found[0], "said": found[1]}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

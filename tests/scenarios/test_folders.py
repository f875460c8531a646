"""The scenarios of this folder, each played with its expectations and its log; see docs/simulator.md."""

from pathlib import Path

import pytest

from quorate.sim.run import run

HERE = Path(__file__).parent
FOLDERS = sorted(path.parent for path in HERE.glob("*/scenario.yaml"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_it_goes_as_it_should(folder: Path) -> None:
    verdict = run(folder)
    assert not verdict.problems, "\n".join(verdict.problems)
    assert (folder / "README.md").read_text().startswith("# ")

"""What the repository promises about itself: its layout, its size limits, and that its documents lead somewhere."""

import ast
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from quorate.core.moves import MOVES
from quorate.core.types import GuestState, NodeState, Wanted
from quorate.view.words import state
from tests import states

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "operator").rglob("*.py"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LONGEST_FILE = 500
LONGEST_FUNCTION = 70
LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")


def test_operator_is_a_source_root_and_no_package():
    """`operator` is a module of the standard library: a package of that name would shadow it for everything run here."""
    assert (ROOT / "operator").is_dir()
    assert not (ROOT / "operator" / "__init__.py").exists()


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_has_one_idea_and_a_function_fits_a_screen(source: Path):
    text = source.read_text()
    assert text.count("\n") <= LONGEST_FILE
    long = [name for name, lines in functions(ast.parse(text)) if lines > LONGEST_FUNCTION]
    assert not long


def functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            yield node.name, node.end_lineno - node.lineno + 1


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path):
    targets = [document.parent / target for target in LINK.findall(document.read_text())]
    assert [str(target) for target in targets if not target.exists()] == []


def test_the_documented_states_of_a_guest_are_those_of_the_table():
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| `([a-z_]+)` \|[^|]+\| ([^|]+) \|$", text, re.MULTILINE)
    documented = {name: set(re.findall(r"`([a-z_]+)`", after)) for name, after in rows}
    assert documented == {state(before): {state(one) for one in after} for before, after in MOVES.items()}


def test_the_diagram_of_a_guests_states_is_drawn_from_the_table():
    assert states.diagram() in states.PAGE.read_text(), "make states"


def test_every_state_of_a_guest_and_a_node_is_explained():
    text = states.PAGE.read_text()
    explained = set(re.findall(r"^\| `([A-Za-z]+)` \|", text, re.MULTILINE))
    assert explained == {*map(str, GuestState), *map(str, NodeState), *map(str, Wanted)}


def test_every_failure_names_tests_that_exist():
    rows = [line for line in (ROOT / "docs" / "failures.md").read_text().splitlines() if line.startswith("| ")]
    faults = [row for row in rows if "test" in row.split("|")[-2]]
    named = {name for row in faults for name in re.findall(r"`([a-z_/]+\.py)`", row)}
    assert len(faults) > 40, "a row for each fault, with its test"
    assert [name for name in sorted(named) if not (ROOT / "tests" / name).exists()] == []


def test_the_readme_names_commands_that_exist():
    targets = set(re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    documents = [(ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md")]
    named = {found for text in documents for found in re.findall(r"\bmake ([a-z0-9-]+)", text)}
    assert {"demo", "test"} <= named <= targets


def test_the_installed_package_is_this_one():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert version("quorate") == project["version"]

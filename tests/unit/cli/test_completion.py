"""The Tab key: in real shells, and as kubectl asks; against a stub that answers for the API server."""

import os
import subprocess
from collections.abc import Callable

import pytest

from quorate.cli import completion
from tests.unit.cli.stub import Stub
from tests.unit.cli.terminals import BIN


@pytest.fixture
def asked(capsys, monkeypatch) -> Callable[..., list[str]]:
    """What kubectl gets for these words, without the directive at its end."""
    monkeypatch.setattr(os, "environ", os.environ.copy())

    def ask(*words: str) -> list[str]:
        assert completion.kubectl(words) == 0
        *found, directive = capsys.readouterr().out.splitlines()
        assert directive == completion.NO_FILES
        return [line.partition("\t")[0] for line in found]

    return ask


def listed(stub: Stub, plural: str) -> list[dict]:
    """Our objects of that kind."""
    return [
        one
        for path, one in stub.objects.items()
        if path.startswith("/apis/quorate.dev") and path.split("/")[-2] == plural
    ]


def elsewhere_too(stub: Stub) -> str:
    """A guest in another namespace than the kubeconfig's: NAMESPACE/NAME."""
    one = listed(stub, "haresources")[0]
    stub.put(one | {"metadata": one["metadata"] | {"namespace": "lager", "name": "lift"}})
    return "lager/lift"


def test_verbs_and_options(prod, asked):
    assert asked("sta") == ["status"]
    assert asked("fence", "") == ["confirm", "release"]
    assert asked("status", "--outp") == ["--output"]
    assert asked("status", "-o", "") == ["table", "json", "yaml", "pve"]
    assert "explain" in asked("")


def test_each_candidate_comes_with_its_help(prod, capsys, asked):
    completion.kubectl(["stat"])
    assert capsys.readouterr().out == "status\tShow how everything is, and what is awaited.\n:4\n"


def test_guests_nodes_and_rules_are_those_of_the_cluster(prod, asked):
    elsewhere = elsewhere_too(prod)
    nodes = sorted(one["metadata"]["name"] for one in listed(prod, "nodes"))
    guests = [one["metadata"] for one in listed(prod, "haresources")]
    here = sorted(one["name"] for one in guests if one["namespace"] == "shop")
    assert nodes
    assert here
    assert asked("drill", "") == nodes
    assert asked("migrate", here[0], nodes[0][:-1]) == [name for name in nodes if name.startswith(nodes[0][:-1])]
    assert asked("relocate", "") == sorted([*here, elsewhere])
    assert asked("relocate", elsewhere[:-1]) == [elsewhere]
    assert set(asked("explain", "")) == {*here, elsewhere, *nodes}
    assert asked("what-if", "--fail", f"{nodes[0]},") == [f"{nodes[0]},{name}" for name in nodes[1:]]
    assert asked("cluster", "expected", "--cluster", "") == ["prod"]


def test_the_namespace_that_is_said_counts(prod, asked):
    namespace, name = elsewhere_too(prod).split("/")
    assert name in asked("-n", namespace, "reset", "")
    assert name in asked("reset", "-n", namespace, "")


def test_nobody_to_ask_is_no_candidate_and_no_noise(asked, monkeypatch, capsys):
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    os.environ["KUBECONFIG"] = "/nonexistent"
    assert asked("drill", "") == []
    assert asked("sta") == ["status"]
    assert capsys.readouterr().err == ""


def completed(shell: str, script: str) -> list[str]:
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(
        [shell, "-c", script], capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_bash(prod):
    words = 'COMP_WORDS=(quorate drill ""); COMP_CWORD=2; _quorate_completion quorate; echo "${COMPREPLY[@]}"'
    found = completed("bash", f'eval "$(quorate completion bash)"; {words}')
    assert found == sorted(one["metadata"]["name"] for one in listed(prod, "nodes"))


def test_fish(prod):
    found = completed("fish", "quorate completion fish | source; complete -C 'quorate drill '")
    assert found == sorted(one["metadata"]["name"] for one in listed(prod, "nodes"))


def test_zsh_completes_what_is_typed(prod, tmux, tmp_path):
    setup = f"PS1='ready> '; path=({BIN} $path); autoload -Uz compinit; compinit -u; source <(quorate completion zsh)"
    (tmp_path / ".zshrc").write_text(f"{setup}\n")
    terminal = tmux(f"env ZDOTDIR={tmp_path} zsh -i")
    terminal.until("ready>")
    terminal.type("quorate maint", "Tab")
    terminal.until("quorate maintenance")
    terminal.type("C-u", "quorate drill ", "Tab")
    terminal.until("quorate drill n")  # what all have in common; the next Tab lists them
    terminal.type("Tab")
    for one in listed(prod, "nodes"):
        terminal.until(one["metadata"]["name"])

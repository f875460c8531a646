"""The program as a whole: help, names, exit codes."""

import subprocess
import sys

import pytest
import typer

from quorate import __version__
from quorate.access.errors import CliError
from quorate.cli import programs
from quorate.cli.main import VERBS, build

HEAVY = {"kopf", "kubernetes", "aiohttp", "rich", "urllib3", "yaml", "jsonpatch", "jsonschema", "cel"}


def test_help_names_the_verbs_in_their_sections_and_ends_with_examples(run):
    page = run("--help").out
    for heading in ("See how it is:", "Guests under HA:", "The cluster:", "Parts of Quorate:", "Examples:"):
        assert heading in page
    assert page.index("Guests under HA:") < page.index("The cluster:") < page.index("Parts of Quorate:")
    assert "\n  quorate add web --image nginx:1.29" in page


@pytest.mark.parametrize(
    "verb",
    [
        *(
            "status",
            "nodes",
            "list",
            "history",
            "add",
            "set",
            "migrate",
            "relocate",
            "reset",
            "remove",
            "cluster create",
        ),
        *("cluster expected", "cluster quorum", "disarm", "arm", "fence confirm", "uninstall", "version"),
    ],
)
def test_every_verb_explains_itself_with_an_example(run, verb):
    ended = run(*verb.split(), "--help")
    assert ended.code == 0
    assert ended.out.startswith(f"Usage: quorate {verb} ")
    assert f"\n  quorate {verb}" in ended.out
    assert "..." not in ended.out.split("Options:")[0].replace("[-- COMMAND]...", "")


def test_short_explanations_are_whole_sentences(run):
    for page in (run("--help").out, run("cluster", "--help").out, run("fence", "--help").out):
        assert "..." not in page.replace("[ARGS]...", "")


def test_as_a_plugin_of_kubectl_it_calls_itself_so(run, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/local/bin/kubectl-quorate"])
    page = run("add", "--help").out
    assert page.startswith("Usage: kubectl quorate add ")
    assert "\n  kubectl quorate add web --image nginx:1.29" in page
    assert "| kubectl quorate add new" in page
    assert "See: kubectl quorate add --help" in run("add").err


def test_version(run):
    assert run("version").out == f"quorate {__version__}\n"
    assert (run("--version").out, run("--version").code) == (f"quorate {__version__}\n", 0)
    assert f'"quorate": "{__version__}"' in run("version", "-o", "json").out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "No such command 'nonsense'"),
        ("add", "Missing argument 'GUEST'"),
        ("add web --nonsense", "No such option: --nonsense"),
        ("set web --max-restart many", "--max-restart"),
        ("set web --max-restart 101", "less than or equal to 100"),
        ("set web --state running", "'running' is not one of"),
        ("cluster expected 1", "Missing option '--reason'"),
        ("cluster expected 0 --reason x", "greater than or equal to 1"),
        ("status one two", "unexpected extra argument"),
    ],
)
def test_a_wrong_command_line_is_64_and_says_where_to_read(run, line, said):
    ended = run(*line.split())
    assert ended.code == 64
    assert said in ended.err
    assert ended.err.startswith("error: ")
    assert ended.err.rstrip().endswith("--help")
    assert len(ended.err.splitlines()) == 1


def test_without_a_verb_the_help_is_shown(run):
    ended = run()
    assert ended.code == 64
    assert ended.err.startswith("Usage: quorate ")


class TestErrors:
    @pytest.fixture
    def broken(self, monkeypatch):
        def breaks(error: BaseException):
            def version(*_: object, **__: object) -> None:
                raise error

            monkeypatch.setattr(programs, "say", version)

        return breaks

    def test_a_bug_is_70_and_one_line(self, run, broken):
        broken(ZeroDivisionError("oops"))
        ended = run("version")
        assert ended.code == 70
        assert ended.err.splitlines() == [
            "internal error: ZeroDivisionError: oops. This is a bug in Quorate: please report it, with --debug"
        ]

    def test_with_debug_the_traceback_is_shown(self, run, broken):
        broken(ZeroDivisionError("oops"))
        for line in (("--debug", "version"), ("version", "--debug")):
            assert "Traceback" in run(*line).err

    def test_a_refusal_is_1_and_its_words(self, run, broken):
        broken(CliError("no, because"))
        ended = run("version")
        assert (ended.code, ended.err) == (1, "error: no, because\n")

    def test_interrupted_is_130(self, run, broken):
        broken(KeyboardInterrupt())
        assert run("version").code == 130


def test_programs_get_their_arguments_as_they_are(run, monkeypatch):
    seen = []

    class Program:
        @staticmethod
        def main(arguments: list[str]) -> int:
            seen.append(arguments)
            return 7

    monkeypatch.setitem(sys.modules, "quorate.kube.manager", Program)
    monkeypatch.setattr("quorate.kube.manager", Program, raising=False)
    assert run("manager", "--help", "-x", "--context", "prod").code == 7
    assert seen == [["--help", "-x", "--context", "prod"]]


@pytest.mark.parametrize("program", ["manager", "agent"])
def test_a_program_that_cannot_read_its_arguments_is_64_as_well(run, program):
    assert run(program, "--nonsense").code == 64


def test_a_simple_verb_imports_nothing_heavy():
    code = (
        "import sys; from quorate.cli.main import main; main(['version']);"
        f"print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr.strip() == "[]"


def test_status_imports_neither_kopf_nor_the_big_client(stub):
    code = (
        "import sys; from quorate.cli.main import main; main(['status']);"
        "print(sorted({'kopf', 'kubernetes', 'aiohttp'} & set(sys.modules)), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr.strip() == "[]"


def test_a_reader_that_has_seen_enough_is_no_error():
    line = f"{sys.executable} -c 'from quorate.cli.main import main; raise SystemExit(main())' --help | head -1"
    ended = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("Usage: quorate")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("registered", VERBS, ids=lambda one: "/".join(one.names))
def test_a_verb_is_found_without_the_others(registered):
    found = typer.main.get_command(build(registered.names[:1])).commands
    of_that_module = [one.names for one in VERBS if registered.names[0] in one.names]
    assert set(found) == {name for names in of_that_module for name in names}


def test_every_verb_is_in_the_table():
    whole = typer.main.get_command(build()).commands
    assert set(whole) == {name for one in VERBS for name in one.names}


def test_who_only_looks_waits_for_nothing_else():
    """What makes up most of the start of a small program is what it imports."""
    script = (
        "import sys; from quorate.cli.main import main; main(['status', '--kubeconfig', '/none']); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "quorate.cli.status" in loaded
    for unused in (
        "quorate.cli.rules",
        "quorate.core.plan",
        "quorate.core.world",
        "quorate.api.cluster",
        "kubernetes",
        "aiohttp",
    ):
        assert unused not in loaded

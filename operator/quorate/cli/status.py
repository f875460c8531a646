"""`quorate status`: one look, a picture that follows, or a wait until all is well."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import sleep
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

from quorate.access.errors import CANNOT_TELL, INTERRUPTED, CliError, TransientError, UsageError
from quorate.access.waiting import Deadline
from quorate.cli.options import Timeout
from quorate.cli.output import PveFormat, PveOutput, console, data, note, say
from quorate.cli.session import Session, verb

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from quorate.view.report import Report
    from quorate.view.snapshot import Snapshot
    from quorate.view.table import StatusView

LOOK_EVERY_S: Final = 1.0
EXIT_CODES: Final = (
    "Exit code  0  healthy",
    "           1  degraded: something is not as wished",
    "           2  not quorate, or a node is being fenced",
    "           3  cannot tell: the API server cannot be asked",
)
EXAMPLES: Final = (
    "quorate status                what is, and what needs attention",
    "quorate status -v             and why: votes, times, conditions",
    "quorate status -w             a picture that follows",
    "quorate status --wait         come back when all is well, or after --timeout",
    "quorate status -n shop -A     every guest of one namespace",
    "quorate status -o json        for programs; the exit code says it too",
    "quorate status -o pve         the lines of ha-manager status, for scripts that read those",
)


def register(app: typer.Typer, section: str) -> None:
    verb(app, status, table=EXIT_CODES, examples=EXAMPLES, section=section)


def status(
    session: Session,
    *,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Add why: votes, times, conditions.")] = False,
    everything: Annotated[bool, typer.Option("--all", "-A", help="Show every guest and Storage.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Draw it again when something changes.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until all is well.")] = False,
    timeout: Timeout = "5m",
    output: PveOutput = PveFormat.TABLE,
) -> int:
    """Show how everything is, and what is awaited.

    Votes, quorum, fencing, nodes and guests: pvecm status and ha-manager status in one. What begins with "!" needs
    attention and says what is awaited, and until when. A name in parentheses is a preview: where a guest would go.
    """
    if watch and (wait or output is not PveFormat.TABLE):
        raise UsageError("-w draws a table and goes on: it cannot be combined with --wait or -o")
    looks = Looks(session, verbose=verbose, everything=everything, output=output)
    try:
        if watch:
            return looks.follow()
        return looks.wait(Deadline(timeout)) if wait else looks.once()
    except UsageError:
        raise
    except CliError as error:
        error.code = CANNOT_TELL
        raise


class Looks:
    """Repeated looks at one API server, shown in one way."""

    def __init__(self, session: Session, *, verbose: bool, everything: bool, output: PveFormat) -> None:
        self._session = session
        self._verbose = verbose
        self._everything = everything
        self._output = output

    def once(self) -> int:
        report = self._report(self._look())
        self._show(report)
        return report.health.severity

    def wait(self, deadline: Deadline) -> int:
        """Look until all is well; what is awaited is said whenever it changes."""
        said = ""
        while True:
            try:
                report = self._report(self._look())
            except TransientError as error:
                if deadline.passed:
                    raise
                sentence = str(error)
            else:
                if not report.health.severity or deadline.passed:
                    break
                sentence = "; ".join(cluster.sentence for cluster in report.clusters) or "there is no Cluster"
            if sentence != said:
                note(f"waiting: {sentence}")
                said = sentence
            deadline.pause(LOOK_EVERY_S)
        self._show(report)
        if report.health.severity:
            note(f"not well after {deadline.timeout_s:g}s")
        return report.health.severity

    def follow(self) -> int:
        """Draw until interrupted. While the API server cannot be asked the last picture stays, and says so."""
        screen = console()
        drawn: StatusView | None = None
        try:
            with _canvas(screen) as draw:
                while True:
                    try:
                        snapshot = self._look()
                        drawn = self._view(self._report(snapshot))
                        draw(drawn, replace(snapshot, leases=None, leaders=None))
                    except TransientError as error:
                        draw(_stale(drawn, error), None)
                    sleep(LOOK_EVERY_S)
        except KeyboardInterrupt:
            if drawn is None:
                return INTERRUPTED
        if screen.is_terminal:
            screen.print(drawn, soft_wrap=True)
        return drawn.report.health.severity

    def _look(self) -> "Snapshot":
        from quorate.access.gather import gather

        return gather(self._session.api, self._session.namespace)

    def _report(self, snapshot: "Snapshot") -> "Report":
        from quorate.view.build import build

        return build(snapshot, self._session.api.now())

    def _view(self, report: "Report") -> "StatusView":
        from quorate.view.table import StatusView

        return StatusView(report, verbose=self._verbose, everything=self._everything)

    def _show(self, report: "Report") -> None:
        if self._output is PveFormat.TABLE:
            console().print(self._view(report), soft_wrap=True)
        elif self._output is PveFormat.PVE:
            from quorate.view.pve import ha_manager

            say("\n".join(ha_manager(report)))
        else:
            from quorate.api.wire import to_wire

            say(data(to_wire(report), self._output))


Draw: TypeAlias = "Callable[[RenderableType, Snapshot | None], None]"
"""Show a picture. With it comes what it was made of, without heartbeats: what must differ to be worth a new one."""


@contextmanager
def _canvas(screen: "Console") -> Iterator[Draw]:
    """The terminal's own screen, redrawn in place; in a pipe a picture below the other, when something has changed."""
    if not screen.is_terminal:
        seen: list[Snapshot | None] = []

        def print_changed(picture: "RenderableType", content: "Snapshot | None") -> None:
            if not seen or seen[-1] != content:
                screen.print(picture, "", soft_wrap=True)
                seen[:] = [content]

        yield print_changed
        return
    from rich.live import Live

    with Live(console=screen, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        yield lambda picture, _: live.update(picture, refresh=True)


def _stale(drawn: "StatusView | None", error: TransientError) -> "RenderableType":
    """The last picture under a line that says how old it is."""
    from rich.console import Group
    from rich.text import Text

    from quorate.view.words import clock

    since = f"; this is what was at {clock(drawn.report.now)} UTC" if drawn is not None else ""
    line = Text.assemble(("! ", "bold red"), f"{error}{since}")
    return Group(line, drawn) if drawn is not None else line

"""What can be done on the page: who may, what is shown before, and the verb of the command line that does it.

Each action opens one dialog: what will happen, as the planner sees it on what is now; what is at risk; and one button.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from quorate.access.errors import UsageError
from quorate.access.names import guest_key
from quorate.core.types import GuestKey
from quorate.dashboard.mirror import Remembered
from quorate.dashboard.picture import Picture
from quorate.dashboard.rights import Rights
from quorate.view.report import ClusterReport, GuestReport, NodeReport

if TYPE_CHECKING:
    from quorate.access.client import Api

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several. `why`: what speaks for it, or, where it is `off`, against it."""

    value: str
    label: str
    why: str = ""
    off: bool = False
    on: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """What a person says. `kind`: choice, text, number, select or check."""

    kind: str
    name: str
    label: str
    value: str = ""
    hint: str = ""
    choices: tuple[Choice, ...] = ()
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    more: int = 0


@dataclass(frozen=True, slots=True)
class Dialog:
    """`confirm` is the button's word; "": there is nothing to confirm. `refused`: why it cannot be done now. `hidden`: what
    the button sends along, unseen.
    """

    title: str
    lines: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    fields: tuple[Field, ...] = ()
    risks: tuple[str, ...] = ()
    confirm: str = ""
    danger: bool = False
    refused: str = ""
    hidden: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subject:
    """What an action is about, as the page's own links name it, and everything that is known of it now."""

    said: Mapping[str, str]
    picture: Picture
    memory: Remembered

    @property
    def guest(self) -> GuestReport:
        """Raises UsageError."""
        name = self.said.get("guest", "")
        report = self.picture.report
        every = (*report.strays, *(one for cluster in report.clusters for one in cluster.guests))
        return _named("guest", name, {one.guest: one for one in every})

    @property
    def key(self) -> GuestKey:
        """Raises UsageError."""
        return guest_key(self.guest.guest, None, "")

    @property
    def node(self) -> NodeReport:
        """Raises UsageError."""
        every = {one.name: one for cluster in self.picture.report.clusters for one in cluster.nodes}
        return _named("node", self.said.get("node", ""), every)

    @property
    def cluster(self) -> ClusterReport:
        """Raises UsageError."""
        return _named("Cluster", self.said.get("cluster", ""), {one.name: one for one in self.picture.report.clusters})

    @property
    def cluster_of_node(self) -> ClusterReport:
        """Raises UsageError."""
        node = self.node.name
        return next(one for one in self.picture.report.clusters if any(it.name == node for it in one.nodes))


def _named(kind: str, name: str, known: Mapping[str, T]) -> T:
    if name not in known:
        raise UsageError(f"no {kind} is named {name!r} any more")
    return known[name]


@dataclass(frozen=True, slots=True)
class Action:
    """`may`: who is signed in; `show`: the dialog; `do`: the deed, which returns what is said of it; None: only to read.

    `show` and `do` raise CliError, and take their time: they are not for the event loop.
    """

    may: Callable[[Rights, Subject], bool]
    show: Callable[[Subject], Dialog]
    do: "Callable[[Api, Subject], str] | None" = None


def anybody(_rights: Rights, _subject: Subject) -> bool:
    return True


SHOWN: Final = 40
"""So many rows of a table are shown in a dialog."""


def table(caption: str, headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> tuple[Table, ...]:
    """The rows as a table of a dialog; no rows, no table."""
    return (Table(caption, headings, tuple(rows[:SHOWN]), max(0, len(rows) - SHOWN)),) if rows else ()


def say(subject: Subject, name: str, what: str) -> str:
    """What a person wrote in a field. Raises UsageError when there is nothing."""
    text = subject.said.get(name, "").strip()
    if not text:
        raise UsageError(f"{what} is missing: write it in the field")
    return text[:1000]


SEEN: Final = "seen"
"""What a person had before them when they gave their word: it holds for that alone."""


def refuse_unseen(subject: Subject, now: str) -> None:
    """Raises UsageError when what they had before them is no longer so."""
    if subject.said.get(SEEN) != now:
        raise UsageError("it has changed since you looked, and nothing was done. Look again: this is how it is now")

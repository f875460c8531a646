"""What one person wants to see: which Cluster, which guests, in which order. It is the query of the page's address, so that
a look can be kept as a bookmark and sent to somebody else.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final
from urllib.parse import urlencode

from quorate.view import words
from quorate.view.report import GuestReport, Health

PER_PAGE: Final = 50
LONGEST: Final = 200
"""Nobody types more into a filter."""
EVERY, ATTENTION = "", "attention"
ORDERS: Final[Mapping[str, Callable[[GuestReport], Any]]] = {
    "": lambda one: (-one.health.severity, one.guest),
    "guest": lambda one: one.guest,
    "want": lambda one: (one.want, one.guest),
    "state": lambda one: (one.state, one.guest),
    "node": lambda one: (one.node, one.guest),
}
"""By what guests may be sorted; "": those that need attention first."""


@dataclass(frozen=True, slots=True)
class Look:
    """`q`: part of a guest's name, node or reason; `state`: one of its states, or "attention"; `open`: nodes of the tree
    that show their guests.
    """

    cluster: str = ""
    q: str = ""
    node: str = ""
    state: str = EVERY
    sort: str = ""
    down: bool = False
    page: int = 1
    open: tuple[str, ...] = ()

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Look":
        """Whatever was sent: what is no look is left out."""
        page = query.get("page", "")
        return cls(
            cluster=query.get("cluster", "")[:LONGEST],
            q=query.get("q", "").strip()[:LONGEST],
            node=query.get("node", "")[:LONGEST],
            state=query.get("state", "")[:LONGEST],
            sort=query.get("sort", "") if query.get("sort", "") in ORDERS else "",
            down=query.get("down") == "1",
            page=max(1, int(page)) if page.isdecimal() and len(page) < 7 else 1,
            open=tuple(sorted({one for one in query.get("open", "")[:4096].split(",") if one})),
        )

    def query(self, **changes: object) -> str:
        """The same with these changes, as the query of an address. Another filter begins at the first page."""
        changed = replace(self, **{"page": 1, **changes} if changes else {})  # type: ignore[arg-type]
        found = {}
        for one in fields(changed):
            value = getattr(changed, one.name)
            if value != one.default:
                text = ",".join(value) if isinstance(value, tuple) else str(value)
                found[one.name] = "1" if value is True else text
        return urlencode(found)

    def url(self, **changes: object) -> str:
        query = self.query(**changes)
        return f"/?{query}" if query else "/"

    def toggled(self, node: str) -> str:
        """With that node of the tree opened, or closed if it is open."""
        opened = set(self.open) ^ {node}
        return self.url(open=tuple(sorted(opened)), page=self.page)

    def sorted_by(self, column: str) -> str:
        """By that column; downwards if it is so already."""
        return self.url(sort=column, down=self.sort == column and not self.down)

    @property
    def filtered(self) -> bool:
        return bool(self.q or self.node or self.state)


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the guests. `number` of `count`, from 1; `found` are all that were looked for, of `total`."""

    rows: tuple[GuestReport, ...]
    number: int
    count: int
    found: int
    total: int
    first: int


def page_of(guests: Iterable[GuestReport], look: Look) -> Page:
    """The guests that are looked for, sorted, in pages; a page that there is not is the last one."""
    every = list(guests)
    found = [one for one in every if _fits(one, look)]
    if look.sort or look.down:
        found.sort(key=ORDERS[look.sort], reverse=look.down)
    count = max(1, -(-len(found) // PER_PAGE))
    number = min(look.page, count)
    first = (number - 1) * PER_PAGE
    return Page(
        tuple(found[first : first + PER_PAGE]), number, count, len(found), len(every), first + 1 if found else 0
    )


def _fits(one: GuestReport, look: Look) -> bool:
    if look.node and look.node not in {one.node, one.target}:
        return False
    if look.state == ATTENTION and one.health is Health.HEALTHY:
        return False
    if look.state not in {EVERY, ATTENTION} and words.state(one.state) != look.state:
        return False
    if not look.q:
        return True
    asked = look.q.lower()
    return any(asked in text.lower() for text in (one.guest, one.node, one.why))

"""All guests, put together from what different objects say of them, and kept until some part may be another one.

Most of a thousand are as they were, in most rounds all of them: then it is the very same tuple.
"""

from collections.abc import Callable, Mapping
from operator import is_
from typing import TypeAlias

from quorate.core.housekeeping import resolve_cluster
from quorate.core.load import Usage
from quorate.core.pods import PodView
from quorate.core.quick import replace
from quorate.core.world import GuestView, Refusal, Verdict
from quorate.kube.resources import Key

Parts: TypeAlias = tuple[GuestView, PodView | None, Verdict | None, Refusal | None, str, Usage | None]
"""The guest by itself, its Pod, what the API server said of its template and of its Pod, its trouble, and what it uses."""


class Roster:
    """Whoever changes a part says so (`touch`), at latest before the next look."""

    def __init__(self, views: Mapping[Key, GuestView], parts_of: Callable[[Key, GuestView], Parts]) -> None:
        self._views, self._parts_of = views, parts_of
        self._made: dict[Key, tuple[Parts, GuestView]] = {}
        self._touched: set[Key] = set()
        self._everyone: tuple[GuestView, ...] = ()
        self._of: dict[str, tuple[tuple[GuestView, ...], list[str], tuple[GuestView, ...]]] = {}
        """Cluster -> of whom and of which Clusters it was told who belongs to it, and who does."""

    def touch(self, key: Key) -> None:
        """A part of this guest is another one by now, or it has come or gone."""
        self._touched.add(key)

    def touch_all(self) -> None:
        self._touched.update(self._made)

    def everyone(self) -> tuple[GuestView, ...]:
        """All guests, sorted by namespace and name."""
        if self._touched:
            for key in self._touched & self._views.keys():
                self._made[key] = self._put_together(key)
            self._made = {key: self._made[key] for key in sorted(self._views)}
            self._everyone = tuple(made for _, made in self._made.values())
            self._touched.clear()
        return self._everyone

    def of(self, cluster: str, clusters: list[str]) -> tuple[GuestView, ...]:
        """The guests of one of these Clusters."""
        everyone, known = self.everyone(), self._of.get(cluster)
        if known is None or known[0] is not everyone or known[1] != clusters:
            found = tuple(guest for guest in everyone if resolve_cluster(guest, clusters)[0] == cluster)
            known = self._of[cluster] = (everyone, clusters, found)
        return known[2]

    def _put_together(self, key: Key) -> tuple[Parts, GuestView]:
        """The same object while all its parts are."""
        parts, before = self._parts_of(key, self._views[key]), self._made.get(key)
        if before is not None and all(map(is_, before[0], parts)):
            return before
        view, pod, verdict, refusal, trouble, usage = parts
        return parts, replace(view, pod=pod, verdict=verdict, refusal=refusal, trouble=trouble, usage=usage)

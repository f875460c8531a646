"""What may be done, as reviews say; and that nobody without rights costs many of them."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from quorate.access.errors import ForbiddenError, NotFoundError
from quorate.dashboard import rights
from quorate.dashboard.rights import ALL, Rights

PLACES = [f"team-{number:03}" for number in range(300)]


@dataclass
class Reviews:
    """An API server that knows who may what: (verb, resource) or (verb, resource, namespace)."""

    allowed: set[tuple[str, ...]]
    asked: list[tuple[str, ...]] = field(default_factory=list)
    absent: bool = False

    def create(self, path: str, body: Any, *, managed: bool) -> Any:
        assert not managed
        if self.absent:
            raise NotFoundError("no such kind")
        said = body["spec"]["resourceAttributes"]
        key = tuple(filter(None, (said["verb"], said["resource"], said.get("namespace", ""))))
        self.asked.append(key)
        return {"status": {"allowed": key in self.allowed}}


def test_an_administrator_is_asked_about_once_each():
    verbs = {("patch", "clusters"), ("patch", "nodes"), ("fence", "nodes"), ("patch", "haresources")}
    api = Reviews(verbs | {("create", "haresources"), ("create", "pods")})
    assert rights.ask(api, PLACES) == ALL
    assert len(api.asked) == 6


def test_who_may_nothing_costs_no_more_than_this():
    api = Reviews(set())
    assert rights.ask(api, PLACES) == Rights()
    assert len(api.asked) <= 2 * rights.ASKED + 6
    assert ("fence", "nodes") not in api.asked


def test_a_tenant():
    api = Reviews(
        {("patch", "haresources", "team-003"), ("create", "pods", "team-003"), ("create", "pods", "team-004")}
    )
    found = rights.ask(api, PLACES)
    assert (found.command, found.change, found.create) == ({"team-003"}, {"team-003"}, frozenset())
    assert found.may_change("team-003")
    assert not found.may_command("team-004")


def test_pods_in_one_place_and_guests_in_all():
    api = Reviews({("patch", "haresources"), ("create", "pods", "team-007")})
    found = rights.ask(api, PLACES)
    assert found.may_command("team-001")
    assert found.change == {"team-007"}


def test_fence_is_a_right_beside_patch():
    assert not rights.ask(Reviews({("fence", "nodes")}), []).fence
    assert rights.ask(Reviews({("fence", "nodes"), ("patch", "nodes")}), []).fence


def test_a_server_without_such_reviews_forbids_nothing():
    assert rights.ask(Reviews(set(), absent=True), PLACES) == ALL
    rights.refuse_unless_reader(Reviews(set(), absent=True))


def test_a_reader_lists_all_four_kinds():
    every = {("list", kind) for kind in rights.READ}
    rights.refuse_unless_reader(Reviews(every))
    for missing in every:
        with pytest.raises(ForbiddenError, match=f"may not list {missing[1]}"):
            rights.refuse_unless_reader(Reviews(every - {missing}))

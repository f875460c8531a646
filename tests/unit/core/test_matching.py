"""The algorithms behind the rules' check, against brute force."""

from itertools import combinations, product

from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core import matching
from quorate.core.matching import cliques, joined, seatable, unplaced

LETTERS = st.sampled_from("abcdef")
graphs = st.sets(st.tuples(LETTERS, LETTERS).filter(lambda pair: pair[0] < pair[1]), max_size=12)
choices = st.dictionaries(LETTERS, st.sets(st.integers(1, 4), max_size=4).map(sorted), max_size=5)


def near(pairs):
    nodes = sorted({one for pair in pairs for one in pair})
    return {one: {other for other in nodes if (one, other) in pairs or (other, one) in pairs} for one in nodes}


@settings(max_examples=60)
@given(st.lists(st.lists(LETTERS, min_size=1, max_size=3), max_size=6))
def test_joined_sets_share_nothing_and_split_nothing(sets):
    found = joined(sets)
    assert sorted(one for group in found for one in group) == sorted({one for group in sets for one in group})
    for group in sets:
        assert sum(bool(set(group) & set(members)) for members in found) == 1
    for members in found:  # no smaller: each proper part of it is tied to the rest by some set
        for size in range(1, len(members)):
            for part in map(set, combinations(members, size)):
                assert any(part & set(group) and set(group) & (set(members) - part) for group in sets)


def test_a_chain_is_joined_however_it_is_written():
    assert [set(group) for group in joined([(1, 9), (2, 3), (3, 9)])] == [{1, 2, 3, 9}]


@settings(max_examples=60)
@given(choices)
def test_who_is_left_out_has_too_few_places_and_nobody_is_where_all_fit(wished):
    crowd = unplaced(wished)
    fits = any(len(set(seats)) == len(seats) for seats in product(*wished.values()))
    assert bool(crowd) is not fits
    if crowd:
        assert len({place for one in crowd for place in wished[one]}) < len(crowd)


@settings(max_examples=60)
@given(graphs)
def test_every_maximal_clique_is_found_once(pairs):
    edges = near(pairs)
    complete = [
        set(part)
        for size in range(1, len(edges) + 1)
        for part in combinations(edges, size)
        if all(other in edges[one] for one, other in combinations(part, 2))
    ]
    maximal = [part for part in complete if not any(part < other for other in complete)]
    assert sorted(map(sorted, cliques(edges))) == sorted(map(sorted, maximal))


@settings(max_examples=60)
@given(graphs, st.integers(1, 3))
def test_seats_are_found_where_there_are_any(pairs, places):
    edges = near(pairs)
    wished = {one: list(range(places)) for one in edges}
    colourings = (dict(zip(edges, seats, strict=True)) for seats in product(*wished.values()))
    possible = any(all(seats[one] != seats[other] for one, other in pairs) for seats in colourings)
    assert seatable(wished, edges) is possible


def test_a_search_that_takes_too_long_says_neither_no_nor_everything(monkeypatch):
    monkeypatch.setattr(matching, "STEPS", 3)
    ring = near({("a", "b"), ("b", "c"), ("a", "c"), ("c", "d")})
    assert seatable({one: [1, 2] for one in ring}, ring)
    assert len(list(cliques(ring))) < 2

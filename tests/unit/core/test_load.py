"""The arithmetic of placement by load, held against the formula as Proxmox VE writes it down."""

from math import isclose, sqrt

from hypothesis import given
from hypothesis import strategies as st

from quorate.core.load import WEIGHTS, Size, scores

GIB = 1 << 30
NODES = ("n1", "n2", "n3", "n4")
SIZES = st.builds(Size, st.integers(0, 9000), st.integers(0, 40 * GIB))
WHOLE = st.builds(Size, st.integers(1000, 64_000), st.integers(GIB, 256 * GIB))


def by_the_book(size, used, total):
    """For each candidate the criteria over all nodes, then TOPSIS, in so many words."""
    rows = {}
    for candidate in total:
        columns = ([], [])
        for node, whole in total.items():
            here = used[node] + (size if node == candidate else Size())
            columns[0].append(here.cpu_m / whole.cpu_m)
            columns[1].append(here.memory / whole.memory)
        rows[candidate] = [
            1 + value for loads in columns for value in (sqrt(sum(x * x for x in loads) / len(loads)), max(loads))
        ]
    lengths = [sqrt(sum(row[i] ** 2 for row in rows.values())) for i in range(4)]
    weighed = {node: [WEIGHTS[i] / sum(WEIGHTS) * row[i] / lengths[i] for i in range(4)] for node, row in rows.items()}
    best = [min(row[i] for row in weighed.values()) for i in range(4)]
    worst = [max(row[i] for row in weighed.values()) for i in range(4)]
    found = {}
    for node, row in weighed.items():
        far = sqrt(sum((row[i] - worst[i]) ** 2 for i in range(4)))
        near = sqrt(sum((row[i] - best[i]) ** 2 for i in range(4)))
        found[node] = far / (far + near) if far + near > 1e-6 else None  # all alike: rounding alone would decide
    return found


@given(SIZES, st.lists(SIZES, min_size=4, max_size=4), st.lists(WHOLE, min_size=4, max_size=4))
def test_scores_are_those_of_the_book(size, used, total):
    taken, whole = dict(zip(NODES, used, strict=True)), dict(zip(NODES, total, strict=True))
    found, wanted = scores(size, taken, whole, NODES), by_the_book(size, taken, whole)
    assert all(wanted[node] is None or isclose(found[node], wanted[node], abs_tol=1e-4) for node in NODES)


def test_memory_weighs_more_than_processor_time():
    used = {"n1": Size(6000, 2 * GIB), "n2": Size(2000, 6 * GIB)}
    total = dict.fromkeys(used, Size(8000, 8 * GIB))
    found = scores(Size(100, GIB), used, total, ("n1", "n2"))
    assert found["n1"] > found["n2"]


def test_equal_nodes_are_equal_and_one_alone_is_good_enough():
    total = dict.fromkeys(("n1", "n2"), Size(8000, 8 * GIB))
    found = scores(Size(100, GIB), {}, total, ("n1", "n2"))
    assert found["n1"] == found["n2"]
    assert scores(Size(100, GIB), {}, total, ("n1",)) == {"n1": 0.0}
    assert scores(Size(100, GIB), {}, {}, ("n1",)) == {}


def test_a_node_that_can_allocate_nothing_counts_as_full():
    total = {"n1": Size(0, 0), "n2": Size(8000, 8 * GIB)}
    found = scores(Size(100, GIB), {}, total, ("n1", "n2"))
    assert found["n2"] > found["n1"]

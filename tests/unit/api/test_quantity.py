"""Quantities, and what a kubelet counts for a Pod."""

import pytest

from quorate.api.quantity import parse, requested, size
from quorate.core.load import Size

MIB = 1 << 20


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2),
        (2, 2),
        (0.5, 0.5),
        ("500m", 0.5),
        ("1Gi", 1 << 30),
        ("1G", 10**9),
        ("12345678n", 0.012345678),
        ("1e3", 1000),
        ("3E", 3 * 10**18),
    ],
)
def test_quantities(text, value):
    assert float(parse(text)) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "m", "much", "-1", "NaN", "Infinity", "1 Gi x", None])
def test_what_is_none(text):
    with pytest.raises(ValueError, match="is no quantity"):
        parse(text)


def test_fractions_are_rounded_up():
    assert size({"cpu": "100u", "memory": "1.5"}) == Size(1, 2)


def pod(*containers, init=(), **spec):
    return {"containers": list(containers), "initContainers": list(init), **spec}


def wants(cpu=None, memory=None, kind="requests", **more):
    named = {name: value for name, value in (("cpu", cpu), ("memory", memory)) if value is not None}
    return {"resources": {kind: named}, **more}


def test_containers_are_counted_together_and_init_containers_one_after_the_other():
    assert requested(pod(wants("1", "64Mi"), wants("500m"))) == Size(1500, 64 * MIB)
    assert requested(pod(wants("1", "64Mi"), init=[wants("2"), wants("1", "1Gi")])) == Size(2000, 1024 * MIB)


def test_a_sidecar_runs_beside_all_that_follow_it():
    sidecar = wants("100m", "10Mi", restartPolicy="Always")
    assert requested(pod(wants("1", "64Mi"), init=[sidecar, wants("2")])) == Size(2100, 74 * MIB)


def test_a_limit_stands_for_a_request_that_is_not_made_and_overhead_is_added():
    assert requested(pod(wants(memory="1Gi", kind="limits"), overhead={"cpu": "10m"})) == Size(10, 1024 * MIB)
    assert requested(pod({}, {"resources": None})) == Size()

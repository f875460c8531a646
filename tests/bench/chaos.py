"""Seeds of chaos: how many of them broke a rule of safety, and how many left something down."""

import argparse
import json
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from quorate.sim.chaos import play, scenario, sizes
from tests.bench.lines import Line, tell


@dataclass(frozen=True, slots=True)
class _Went:
    """How a seed went: what was found, simulated and processor seconds, events, and how many faults were played."""

    seed: int
    violations: tuple[str, ...]
    stuck: tuple[str, ...]
    simulated_s: float
    cost_s: float
    steps: int
    faults: int


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=_pair, default=(0, 2000), metavar="A:B", help="from A to before B")
    parser.add_argument("--nodes", type=_pair, default=(3, 7), metavar="N:M", help="from N to M, as each seed has it")
    parser.add_argument("--guests", type=_pair, default=(1, 8), metavar="N:M", help="from N to M, as each seed has it")
    parser.add_argument("--processes", type=int, default=1, help="that play seeds beside each other")
    parser.add_argument(
        "--kept", type=Path, metavar="FILE", help="how seeds went is kept there: a run can be gone on with"
    )


def measure(given: argparse.Namespace) -> Iterator[Line]:
    """All seeds, and two series that must be 0."""
    one = partial(_play, range(given.nodes[0], given.nodes[1] + 1), range(given.guests[0], given.guests[1] + 1))
    known = _known(given.kept)
    went = [known[seed] for seed in range(*given.seeds) if seed in known]
    with ProcessPoolExecutor(given.processes) as pool:
        for found in pool.map(one, [seed for seed in range(*given.seeds) if seed not in known]):
            went.append(found)
            if given.kept is not None:
                with given.kept.open("a") as kept:
                    kept.write(f"{json.dumps(asdict(found))}\n")
            for text in (*found.violations, *found.stuck):
                tell(f"seed {found.seed}: {text}")
    (nodes, most_nodes), (guests, most_guests) = given.nodes, given.guests
    (first, end), series = given.seeds, f"{nodes} to {most_nodes} nodes, {guests} to {most_guests} guests"
    series = f"{series}, seeds {first} to {end - 1}"
    simulated_s, cost_s = sum(each.simulated_s for each in went), sum(each.cost_s for each in went)
    notes = {
        "seeds": len(went),
        "faults": sum(each.faults for each in went),
        "steps": sum(each.steps for each in went),
        "simulated_hours": round(simulated_s / 3600, 1),
        "times_real": round(simulated_s / cost_s),
    }
    yield Line("chaos", f"{series}: violations", "", (sum(bool(each.violations) for each in went),), 0, notes)
    yield Line("chaos", f"{series}: stuck", "", (sum(bool(each.stuck) for each in went),), 0)


def _known(kept: Path | None) -> dict[int, _Went]:
    """How seeds went that were played before."""
    texts = kept.read_text().splitlines() if kept is not None and kept.exists() else []
    return {found.seed: found for found in (_Went(**json.loads(text)) for text in texts)}


def _play(nodes: range, guests: range, seed: int) -> _Went:
    made = scenario(seed, *sizes(seed, nodes, guests))
    began_s = time.process_time()
    ruin = play(made)
    cost_s = time.process_time() - began_s
    texts = [(one.stuck, f"{one.at_s:.3f}s: {one.text}") for one in ruin.violations]
    violations = tuple(text for stuck, text in texts if not stuck)
    stuck = tuple(text for stuck, text in texts if stuck)
    return _Went(seed, violations, stuck, ruin.simulated_s, cost_s, ruin.steps, ruin.faults.total())


def _pair(text: str) -> tuple[int, int]:
    first, _, last = text.partition(":")
    return int(first), int(last)

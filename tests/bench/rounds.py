"""What a round of the manager costs in processor time: build the World, plan, check the plan, carry it out.

In this process, on what a real API server lists. It carries nothing out: in steady state there is nothing to do, and what
a plan would want all the same is reported.
"""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from quorate.core.actions import Plan
from quorate.core.plan import plan
from quorate.kube.act import Actor, Done
from quorate.kube.client import Api, login
from quorate.kube.deeds import Deeds
from quorate.kube.guests.pod import Gate
from quorate.kube.leader import Elector
from quorate.kube.manager import settle_down
from quorate.kube.metrics import Metrics
from quorate.kube.store import Store
from quorate.kube.sweep import sweep
from quorate.kube.tick import ClusterTicker

ROUNDS: Final = 100
HEARTBEATS_S: Final = 5.0
"""Long enough to see every agent renew twice."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds of processor time. `wanted`: what the last plan would have done."""

    round_ms: tuple[float, ...]
    plan_ms: float
    wanted: str


class _Onlooker(Actor):
    """Carries out what there is to be carried out, which must be nothing."""

    seen: Plan | None = None

    async def carry_out(self, plan: Plan) -> Done:
        self.seen = plan
        if plan.statuses or plan.actions or plan.notes:
            return Done(0, again=False)
        return await super().carry_out(plan)


async def cost(kubeconfig: Path, cluster: str) -> Cost:
    """As the leader of that Cluster would have it."""
    api = Api(await login(str(kubeconfig)))
    try:
        store = Store(lambda: None)
        for _ in range(3):
            began_s = store.clock()
            await sweep(store, api)
            store.open_gate(began_s)
            await asyncio.sleep(HEARTBEATS_S)
        await sweep(store, api)
        status = store.clusters()[0].status
        elector = Elector(api, f"manager-{cluster}", status.manager, lambda: 0, lambda: None)
        elector.term = status.term
        metrics = Metrics(store, tuple)
        actor = _Onlooker(
            api, store, Deeds(api, store, Gate("bench", 1), cluster, "onlooker"), lambda: False, metrics.tally(cluster)
        )
        ticker = ClusterTicker(elector, actor, store, cluster)
        settle_down()
        await ticker.round()
        took = []
        for _ in range(ROUNDS):
            began_s = time.process_time()
            await ticker.round()
            took.append(1000 * (time.process_time() - began_s))
        world = ticker.look()
        assert world is not None
        began_s = time.process_time()
        plan(world)
        return Cost(tuple(took), 1000 * (time.process_time() - began_s), _words(actor.seen))
    finally:
        await api.close()


def _words(seen: Plan | None) -> str:
    if seen is None:
        return "no plan"
    found = [*seen.statuses, *seen.actions, *seen.notes]
    return f"{len(found)} things, the first is {found[0]}" if found else ""

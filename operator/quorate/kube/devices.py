"""Look after the Leases of quorum devices: one GET each every second.

Every replica does, so that a standby knows who votes when it takes over. Watching the namespace instead would bring in
every renewal of every leader.
"""

import asyncio
import logging
from typing import Final

from quorate.core.device import LEASE_PREFIX
from quorate.core.types import SYSTEM_NAMESPACE
from quorate.kube.calls import ApiError, Calls, NotFound
from quorate.kube.resources import LEASES
from quorate.kube.store import Store

log = logging.getLogger(__name__)
LOOK_EVERY_S: Final = 1.0


async def keep_looking(store: Store, api: Calls) -> None:
    """Look at every device that a Cluster names, until cancelled."""
    while True:
        news = store.cluster_news
        if await look(store, api):
            await asyncio.sleep(LOOK_EVERY_S)
        else:
            await news.wait()


async def look(store: Store, api: Calls) -> bool:
    """Look once. What cannot be read says nothing: its age goes on. Is there any?"""
    options = [cluster.spec.quorum for cluster in store.clusters()]
    names = {one.device.name for one in options if one.device is not None}
    for name in sorted(names):
        began_s = store.clock()
        try:
            raw = await api.get(LEASES.path(f"{LEASE_PREFIX}{name}", SYSTEM_NAMESPACE))
        except NotFound:
            continue
        except ApiError as error:
            log.info("quorum device %s: %s", name, error)
            continue
        store.device(name, raw, began_s)
    return bool(names)

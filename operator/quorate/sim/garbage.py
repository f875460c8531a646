"""What a deletion drags along: what the object owned, and the contents of a namespace.

The real server leaves this to controllers, which come a moment later; here it happens in the same step.
"""

from quorate.sim.store import Event, Store, place_of


class Garbage:
    """Listens to a store, and deletes what has lost all of its owners, or its namespace."""

    def __init__(self, store: Store) -> None:
        self._store, self._sweeping = store, False
        self._kinds = {(resource.api_version, resource.kind) for resource in store.resources.values()}
        store.listeners.append(self._hear)

    def _hear(self, event: Event) -> None:
        if self._sweeping or not _may_free(event):
            return
        self._sweeping = True
        try:
            while self._sweep():
                pass
        finally:
            self._sweeping = False

    def _sweep(self) -> bool:
        """Look at everything once. Was anything changed?"""
        before, everything = self._store.version, self._store.everything()
        namespaces = self._store.resources["namespaces"]
        ending = [one["metadata"] for one in self._store.listed(namespaces) if "deletionTimestamp" in one["metadata"]]
        closing = {meta["name"] for meta in ending}
        concerned = [
            (resource, found)
            for resource, found in everything
            if "ownerReferences" in found["metadata"] or (closing and place_of(found)[0] in closing)
        ]
        uids = {found["metadata"]["uid"] for _, found in everything} if concerned else set()
        for resource, found in concerned:
            owners, place = found["metadata"].get("ownerReferences", []), place_of(found)
            alive = [one for one in owners if one["uid"] in uids or (one["apiVersion"], one["kind"]) not in self._kinds]
            if place[0] in closing or (owners and not alive):
                self._store.delete(resource, place)
            elif len(alive) < len(owners):
                meta = found["metadata"] | {"ownerReferences": alive}
                self._store.replace(resource, place, found | {"metadata": meta})
        full = {place_of(found)[0] for _, found in self._store.everything()} if closing else set()
        for name in closing - full:
            self._store.update(namespaces, ("", name), lambda old: old | {"spec": {}})
        return self._store.version != before


def _may_free(event: Event) -> bool:
    """Something is gone, or a namespace is closing, or what was made may have lost its owners already."""
    if event.new is None:
        return True
    meta = event.new["metadata"]
    closing = event.resource.kind == "Namespace" and "deletionTimestamp" in meta
    return closing or (event.old is None and "ownerReferences" in meta)

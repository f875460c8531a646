"""Tells the API server the newest status of one pod, and when all is over deletes the object. Retries for ever."""

import asyncio
import logging
from typing import Final

from quorate.lab.apiclient import UNREACHABLE, Api, ApiError, describe
from quorate.lab.kubelet.decide import Json

_BACKOFF_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_GONE: Final = frozenset({404, 409})
"""The object, or the one with this uid, is there no more."""
_log = logging.getLogger(__name__)


class Reporter:
    """One pod's way to the API server. Only the newest status counts: older ones that did not get through are skipped."""

    def __init__(self, api: Api, pod: Json) -> None:
        self._api = api
        self._uid = pod["metadata"]["uid"]
        self._path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
        self._wanted: Json | None = None
        self._told: Json | None = None
        self._delete = False
        self._news = asyncio.Event()
        self.settled = asyncio.Event()
        """Set while the newest status has reached the API server."""

    def tell(self, status: Json, *, delete: bool = False) -> None:
        """Report this status; `delete`: then delete the object, with grace 0 and only this uid."""
        if status != self._wanted or delete != self._delete:
            self._wanted, self._delete = status, delete
            self._news.set()
            self.settled.clear()

    async def run(self) -> None:
        """For ever, or until the object is gone."""
        failures = 0
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._send()
                failures = 0
            except ApiError as error:
                if error.status in _GONE:
                    self.settled.set()
                    return
                _log.warning("%s: %s", self._path, error)
                failures += 1
            except UNREACHABLE as error:
                _log.info("%s: %s", self._path, describe(error))
                failures += 1
            if not failures and not self._news.is_set():
                self.settled.set()
            elif failures:
                self._news.set()
                await asyncio.sleep(_BACKOFF_S[min(failures, len(_BACKOFF_S)) - 1])

    async def _send(self) -> None:
        status, delete = self._wanted, self._delete
        if status != self._told:
            await self._api.patch(f"{self._path}/status", {"metadata": {"uid": self._uid}, "status": status})
            self._told = status
        if delete:
            await self._api.delete(
                self._path,
                {
                    "kind": "DeleteOptions",
                    "apiVersion": "v1",
                    "gracePeriodSeconds": 0,
                    "preconditions": {"uid": self._uid},
                },
            )

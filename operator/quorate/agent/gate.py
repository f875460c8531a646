"""The start gate: the first init container of every guest Pod. It lets the Pod go on only in the boot it was made for.

A rebooted kubelet starts what is bound to it, perhaps while the guest is being started elsewhere. Exit 0: this is the
boot. Exit 86: it is not, and nothing of the Pod has run. "Cannot tell" waits: a Pod that waits runs nothing.
"""

import json
import os
import sys
import time
import urllib.request
from collections.abc import Mapping
from typing import Final

from quorate.agent.boot import BOOT_ID, kernel_of, kernel_part
from quorate.core.types import WRONG_BOOT_EXIT

ASK_EVERY_S: Final = 0.5


def verdict(environment: Mapping[str, str]) -> bool | None:
    """Is this the boot? None: cannot tell yet."""
    expected = environment["QUORATE_NONCE"]
    if environment.get("QUORATE_SHARED_KERNEL", "yes") != "yes":
        return kernel_part(BOOT_ID.read_text()) == kernel_of(expected)
    found = ask(environment["QUORATE_HOST_IP"], environment["QUORATE_AGENT_PORT"])
    return None if found is None else found == expected


def ask(host: str, port: str) -> str | None:
    """The nonce that the node's agent answers, None when it does not."""
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/boot"
    try:
        with urllib.request.urlopen(url, timeout=2.0) as response:
            return str(json.load(response)["nonce"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def main() -> int:
    waiting = False
    while True:
        answer = verdict(os.environ)
        if answer is not None:
            break
        if not waiting:
            print("waiting for the node's agent to say which boot this is", flush=True)
            waiting = True
        time.sleep(ASK_EVERY_S)
    if answer:
        return 0
    print(f"another boot of the node than the one this Pod was made for ({os.environ['QUORATE_NONCE']}): not started")
    return WRONG_BOOT_EXIT


if __name__ == "__main__":
    sys.exit(main())

"""What a test needs and a machine may lack: a developer's run skips such a test loudly, CI fails."""

import os
from pathlib import Path
from typing import NoReturn

import pytest

from quorate.lab.control_plane import Programs, find, find_programs
from quorate.lab.errors import LabError


def cannot(reason: str) -> NoReturn:
    """The rule: without CI=true the test is skipped with this reason, with it the test fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must have it: {reason}", pytrace=False)
    pytest.skip(reason)


def programs() -> Programs:
    """etcd and kube-apiserver."""
    try:
        return find_programs(os.environ)
    except LabError as error:
        cannot(str(error))


def kubectl() -> Path:
    """kubectl, from where the control plane's programs come from."""
    found = find("kubectl", os.environ)
    return found or cannot("kubectl is neither in $KUBEBUILDER_ASSETS nor on PATH nor in the cache")


def garbage_collector() -> None:
    """kube-controller-manager: without it no namespace ever empties, and what lost its owner stays."""
    if programs().kube_controller_manager is None:
        cannot("kube-controller-manager is found nowhere: nothing would collect garbage or empty namespaces")

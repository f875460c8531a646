"""`quorate lab up --dashboard`: a lab and its page by one command; the lab outlives the page."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
import urllib3

from quorate.lab import client
from quorate.lab.control import READY
from tests.lab.scene import own_cache

pytestmark = pytest.mark.lab
NAME = "up"


@pytest.fixture
def program() -> Iterator["subprocess.Popen[str]"]:
    arguments = ("lab", "up", "--name", NAME, "--nodes", "1", "--managers", "1", "--profile", "fast", "--dashboard")
    with own_cache():
        started = subprocess.Popen(
            [sys.executable, "-m", "quorate.cli.main", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        yield started
        if started.poll() is None:
            started.kill()
        started.communicate()
        client.down(NAME)


def test_a_lab_and_its_page(program: "subprocess.Popen[str]") -> None:
    assert program.stdout is not None
    assert program.stdout.readline().startswith(f"lab {NAME} is up: 1 nodes")
    assert program.stdout.readline().startswith("export KUBECONFIG=")
    address = program.stdout.readline().removeprefix("Open ").strip()
    http = urllib3.PoolManager()
    entered = http.request("GET", address, redirect=False)
    assert entered.status == 303
    cookie = {"Cookie": entered.headers["Set-Cookie"].partition(";")[0]}
    page = http.request("GET", f"{address.partition('/enter')[0]}/", headers=cookie).data.decode()
    assert f"lab {NAME}" in page
    program.send_signal(signal.SIGINT)
    _, said = program.communicate(timeout=30)
    assert program.returncode == 0
    assert f"the lab goes on: quorate lab down --name {NAME} ends it" in said
    assert client.status(NAME)["phase"] == READY

"""`quorate dashboard`, as it is started: what it refuses, and that it serves until it is told to end."""

import os
import signal
import subprocess
import sys

import pytest
import urllib3

from tests.unit.cli.stub import kubeconfig


@pytest.mark.parametrize("address", ["8080", "host:", "127.0.0.1:http", "127.0.0.1:99999", ":80"])
def test_an_address_that_is_none(run, stub, address):
    ended = run("dashboard", "--listen", address)
    assert ended.code == 64
    assert "is not ADDRESS:PORT" in ended.err


def test_without_a_sign_in_it_is_for_this_machine_alone(run, stub):
    ended = run("dashboard", "--listen", "0.0.0.0:0")
    assert ended.code == 64
    assert "--token-sign-in" in ended.err


def test_a_namespace_is_for_the_filter(run, stub):
    ended = run("dashboard", "-n", "shop")
    assert ended.code == 64
    assert "Type shop/ in its filter" in ended.err


def test_a_certificate_that_is_none(run, stub, tmp_path):
    (tmp_path / "cert.pem").write_text("nothing")
    ended = run("dashboard", "--certificate", str(tmp_path / "cert.pem"))
    assert ended.code == 64
    assert "Name files in PEM" in ended.err


def test_it_serves_until_it_is_told_to_end(prod, tmp_path):
    environ = {**os.environ, "KUBECONFIG": str(kubeconfig(tmp_path / "kubeconfig", prod.url))}
    program = subprocess.Popen(
        [sys.executable, "-m", "quorate.cli.main", "dashboard"], env=environ, stdout=subprocess.PIPE, text=True
    )
    try:
        assert program.stdout is not None
        words = program.stdout.readline()
        assert words.startswith("Open http://127.0.0.1:")
        base = words.split()[1].partition("/enter")[0]
        assert urllib3.request("GET", f"{base}/healthz").data == b"ok\n"
        assert urllib3.request("GET", f"{base}/report.json").status == 401
    finally:
        program.send_signal(signal.SIGINT)
        assert program.wait(20) == 0
        program.stdout.close()

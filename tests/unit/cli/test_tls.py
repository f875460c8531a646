"""Certificates: the server's is checked, ours is shown. Made by openssl, spoken over real sockets."""

import shutil
import ssl
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from quorate.access.client import Api
from quorate.access.errors import UnreachableError
from quorate.access.kubeconfig import Credentials, Login
from tests.unit.cli.stub import serve

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")
CLUSTERS = "/apis/quorate.dev/v1alpha1/clusters"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for `kubernetes` at 127.0.0.1, which both sides use, and one that nobody trusts."""
    directory = tmp_path_factory.mktemp("pki")
    for name, names in (("ours", "DNS:kubernetes,IP:127.0.0.1"), ("named", "DNS:kubernetes"), ("other", "DNS:other")):
        line = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -addext subjectAltName={names}"
        subprocess.run(
            [*line.split(), "-keyout", directory / f"{name}.key", "-out", directory / f"{name}.crt"],
            check=True,
            capture_output=True,
        )
    return directory


def server_side(pki: Path, name: str) -> ssl.SSLContext:
    """A server that shows this certificate and wants to see one signed by `ours`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / f"{name}.crt", pki / f"{name}.key")
    context.load_verify_locations(pki / "ours.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def login(url: str, pki: Path, authority: str = "ours") -> Login:
    shown = Credentials(certificate=(pki / "ours.crt").read_bytes(), key=(pki / "ours.key").read_bytes())
    return Login(
        url, "context test of kubeconfig x", "ada", authority=(pki / f"{authority}.crt").read_bytes(), credentials=shown
    )


def test_both_sides_show_their_certificates(pki):
    with serve(server_side(pki, "ours")) as stub:
        assert Api(login(stub.url, pki)).items(CLUSTERS) == []


def test_without_ours_the_server_hangs_up(pki):
    with serve(server_side(pki, "ours")) as stub, pytest.raises(UnreachableError, match="cannot reach the API server"):
        Api(replace(login(stub.url, pki), credentials=Credentials()), budget_s=0.1).get(CLUSTERS)


def test_a_server_that_is_not_trusted_is_named_with_the_field_to_compare(pki):
    with serve(server_side(pki, "ours")) as stub, pytest.raises(UnreachableError) as found:
        Api(login(stub.url, pki, authority="other")).get(CLUSTERS)
    assert "its certificate is not trusted" in str(found.value)
    assert "Compare certificate-authority in the kubeconfig" in str(found.value)


def test_tls_server_name_is_the_name_that_the_certificate_must_carry(pki):
    with serve(server_side(pki, "named")) as stub:
        with pytest.raises(UnreachableError, match="its certificate is not trusted"):
            Api(login(stub.url, pki, authority="named")).get(CLUSTERS)
        assert Api(replace(login(stub.url, pki, authority="named"), server_name="kubernetes")).items(CLUSTERS) == []


def test_insecure_skips_the_check(pki):
    with serve(server_side(pki, "other")) as stub:
        assert Api(replace(login(stub.url, pki), authority=b"", insecure=True)).items(CLUSTERS) == []

"""The four services over mutual TLS: they work together, strangers stay out, and certificates can be exchanged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from flow2api_testing.certificates import TestAuthority
from flow2api_testing.postgres import TestPostgres
from flow2api_testing.programs import block_until, run_flow2api
from flow2api_testing.systems import API_KEY, System, distributed_system

pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore:The Sora API")]

HOSTS = {"server": "pool.internal", "client": "client.internal"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def tls_settings(certificates: Path) -> dict[str, str]:
    issue_all(certificates)
    return {
        "FLOW2API_GRPC_SERVER_CERT_FILE": str(certificates / "server.crt"),
        "FLOW2API_GRPC_SERVER_KEY_FILE": str(certificates / "server.key"),
        "FLOW2API_GRPC_SERVER_CLIENT_CA_FILE": str(certificates / "authority.crt"),
        "FLOW2API_GRPC_CA_FILE": str(certificates / "authority.crt"),
        "FLOW2API_GRPC_CLIENT_CERT_FILE": str(certificates / "client.crt"),
        "FLOW2API_GRPC_CLIENT_KEY_FILE": str(certificates / "client.key"),
        "FLOW2API_TOKEN_SERVER_NAME": "pool.internal",
        "FLOW2API_GENERATION_SERVER_NAME": "pool.internal",
    }


@pytest.fixture(scope="module")
def system(
    tls_settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory, postgres_server: TestPostgres
) -> Iterator[System]:
    directory = tmp_path_factory.mktemp("distributed")
    with distributed_system(directory, postgres_server, settings=tls_settings, time_scale="0") as running:
        yield running


def test_pictures_and_videos_are_made_before_and_after_an_exchange_of_all_certificates(
    system: System, certificates: Path
) -> None:
    with openai.OpenAI(base_url=f"{system.base_url}/v1", api_key=API_KEY, max_retries=0) as client:
        make_both(client)
        exchange_all(certificates)
        renewed = {"token": 1, "generation": 2, "gateway": 1}

        def have_renewed() -> bool:
            # A new connection is what makes a server look; a call, what makes a client look.
            make_both(client)
            return all(
                system.programs[name].log().count("certificates_renewed") >= count for name, count in renewed.items()
            )

        block_until(have_renewed, *system.programs.values(), timeout=60)
        make_both(client)
    answer = run_flow2api("health", "generation", variables=system.variables)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("service", ["token", "generation"])
def test_a_probe_is_answered_over_tls(system: System, service: str) -> None:
    answer = run_flow2api("health", service, variables=system.variables)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == f"the {service} service serves\n"


def test_strangers_are_told_why_they_stay_out(system: System, tmp_path: Path) -> None:
    stranger = TestAuthority(tmp_path)
    files = stranger.issue("client")
    cases = {
        "(FLOW2API_GRPC_CLIENT_CERT_FILE)": {
            "FLOW2API_GRPC_CLIENT_CERT_FILE": str(files.cert),
            "FLOW2API_GRPC_CLIENT_KEY_FILE": str(files.key),
        },
        "wants TLS (FLOW2API_GRPC_CA_FILE)": dict.fromkeys(
            ("FLOW2API_GRPC_CA_FILE", "FLOW2API_GRPC_CLIENT_CERT_FILE", "FLOW2API_GRPC_CLIENT_KEY_FILE"), ""
        ),
        "refuses our service token": {"FLOW2API_SERVICE_TOKEN": "another"},
    }
    for told, changes in cases.items():
        refused = run_flow2api("health", "token", variables={**system.variables, **changes})
        assert (refused.returncode, told in refused.stderr) == (1, True), refused.stderr
        assert "Traceback" not in refused.stderr
    # gRPC's own library keeps to errors: what it has to say of strangers stays out of our log.
    assert "ssl_transport_security" not in system.programs["token"].log()


def test_a_service_does_not_start_on_files_that_do_not_fit(system: System, certificates: Path) -> None:
    changes = {"FLOW2API_GRPC_SERVER_KEY_FILE": str(certificates / "client.key")}
    refused = run_flow2api("serve", "token", variables={**system.variables, **changes})
    assert refused.returncode == 2
    assert "FLOW2API_GRPC_SERVER_KEY_FILE: " in refused.stderr
    assert "is not the key of the certificate" in refused.stderr


def make_both(client: openai.OpenAI) -> None:
    assert client.images.generate(model="gemini-3.1-flash-image", prompt="a heron", response_format="url").data
    video = client.videos.create_and_poll(
        model="veo-3.1-fast", prompt="waves", size="1280x720", seconds="8", poll_interval_ms=200
    )
    assert video.status == "completed"


def exchange_all(directory: Path) -> None:
    """As an operator does it: believe both authorities, exchange the certificates, believe the new one alone."""
    authority, old = directory / "authority.crt", (directory / "authority.crt").read_bytes()
    successor = TestAuthority(directory / "next")
    both = directory / "both.crt"
    both.write_bytes(old + successor.file.read_bytes())
    both.replace(authority)
    for name in HOSTS:
        files = successor.issue(name, HOSTS[name])
        files.key.replace(directory / f"{name}.key")
        files.cert.replace(directory / f"{name}.crt")
    successor.file.replace(authority)


def issue_all(directory: Path) -> None:
    """A new authority, and new certificates for servers and clients."""
    authority = TestAuthority(directory)
    for name, host in HOSTS.items():
        authority.issue(name, host)

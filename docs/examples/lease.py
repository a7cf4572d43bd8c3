"""Make a picture with an account of the pool, from a program that has nothing but gRPC's stubs.

    python docs/examples/lease.py "a heron at dawn" heron.jpg

It takes a lease, asks the upstream itself with the credential that comes with it, keeps the lease alive meanwhile, and
gives it back with what the pool should learn. docs/grpc-guide.md explains each step. Needs grpcio, grpcio-status, httpx
and flow2api-proto. Reads FLOW2API_TOKEN_ADDR, FLOW2API_SERVICE_TOKEN, FLOW2API_FLOW_API_URL, and for TLS
FLOW2API_GRPC_CA_FILE, FLOW2API_GRPC_CLIENT_CERT_FILE, FLOW2API_GRPC_CLIENT_KEY_FILE and FLOW2API_TOKEN_SERVER_NAME.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import grpc
import httpx
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo  # type: ignore[import-untyped] # it has no types
from grpc_status import rpc_status

from flow2api_proto.tokens.v1 import token_pb2, token_service_pb2, token_service_pb2_grpc

MODEL = "GEM_PIX_2"
LEASE_DURATION = timedelta(seconds=float(os.environ.get("LEASE_SECONDS", "60")))
LONGEST_WAIT = timedelta(seconds=30)
UPSTREAM = os.environ.get("FLOW2API_FLOW_API_URL", "https://aisandbox-pa.googleapis.com/v1")
AUTHORIZATION = (("authorization", f"Bearer {os.environ['FLOW2API_SERVICE_TOKEN']}"),)

OUTCOMES = {
    400: token_pb2.OUTCOME_BAD_INPUT,
    401: token_pb2.OUTCOME_AUTH_REJECTED,
    403: token_pb2.OUTCOME_FORBIDDEN,
    404: token_pb2.OUTCOME_MODEL_GONE,
    429: token_pb2.OUTCOME_RATE_LIMITED,
}


def main() -> int:
    prompt, file = sys.argv[1], Path(sys.argv[2])
    with open_channel() as channel:
        pool = token_service_pb2_grpc.TokenServiceStub(channel)
        try:
            acquired = acquire(pool)
        except grpc.RpcError as error:
            print(f"no lease: {explained(error)}", file=sys.stderr)
            return 1
        lease, credential = acquired.lease, acquired.credential
        print(f"lease {lease.lease_id} on account {lease.token_id}")
        # What the pool learns when this program breaks before it knows better: nothing was asked, nobody is to blame.
        outcome = token_pb2.LeaseOutcome(outcome=token_pb2.OUTCOME_UNUSED)
        try:
            with kept_alive(pool, lease):
                picture, outcome = make_picture(pool, credential, prompt)
        finally:
            released = pool.ReleaseLease(
                token_service_pb2.ReleaseLeaseRequest(lease=lease, outcome=outcome), metadata=AUTHORIZATION, timeout=10
            )
        word = token_pb2.Outcome.Name(outcome.outcome)
        print(f"released as {word}" + ("" if released.was_live else ", too late"))
        if picture is None:
            return 1
        file.write_bytes(picture)
        print(f"{file}: {len(picture)} bytes")
        return 0


def open_channel() -> grpc.Channel:
    """In clear, or over TLS when there is an authority to believe."""
    address = os.environ.get("FLOW2API_TOKEN_ADDR", "127.0.0.1:50051")
    authority = os.environ.get("FLOW2API_GRPC_CA_FILE")
    if not authority:
        return grpc.insecure_channel(address)
    name = os.environ.get("FLOW2API_TOKEN_SERVER_NAME")
    return grpc.secure_channel(
        address,
        grpc.ssl_channel_credentials(
            Path(authority).read_bytes(),
            contents_of("FLOW2API_GRPC_CLIENT_KEY_FILE"),
            contents_of("FLOW2API_GRPC_CLIENT_CERT_FILE"),
        ),
        options=[("grpc.ssl_target_name_override", name)] if name else [],
    )


def contents_of(variable: str) -> bytes | None:
    """The file that the variable names."""
    return Path(os.environ[variable]).read_bytes() if os.environ.get(variable) else None


def acquire(pool: token_service_pb2_grpc.TokenServiceStub) -> token_service_pb2.AcquireLeaseResponse:
    """A lease, waited for. The same request id makes the repeat safe: it cannot take a second lease."""
    request = token_service_pb2.AcquireLeaseRequest(
        request_id=str(uuid.uuid4()),
        kind=token_pb2.KIND_IMAGE,
        candidates=[token_pb2.LeaseCandidate(provider="flow", upstream_model=MODEL)],
        lease_duration=duration(LEASE_DURATION),
        wait_timeout=duration(LONGEST_WAIT),
    )
    for attempt in range(5):
        try:
            # The deadline is longer than the wait, so that the server's answer comes before ours.
            return pool.AcquireLease(request, metadata=AUTHORIZATION, timeout=LONGEST_WAIT.total_seconds() + 10)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE or attempt == 4:
                raise
            time.sleep(retry_delay(error) or 1)
    raise AssertionError("unreachable")


@contextmanager
def kept_alive(pool: token_service_pb2_grpc.TokenServiceStub, lease: token_pb2.Lease) -> Iterator[None]:
    """Renew the lease at a quarter of its duration while inside."""
    done = threading.Event()
    renew = token_service_pb2.RenewLeasesRequest(leases=[lease], lease_duration=duration(LEASE_DURATION))

    def keep() -> None:
        while not done.wait(LEASE_DURATION.total_seconds() / 4):
            try:
                (renewal,) = pool.RenewLeases(renew, metadata=AUTHORIZATION, timeout=5).renewals
            except grpc.RpcError as error:
                print(f"not renewed, trying again: {explained(error)}", file=sys.stderr)
                continue
            if not renewal.renewed:
                print("the lease is lost: nothing new may be started under it", file=sys.stderr)
                return
            print(f"renewed until {renewal.lease.expire_time.ToJsonString()}")

    thread = threading.Thread(target=keep, name="renew")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def make_picture(
    pool: token_service_pb2_grpc.TokenServiceStub, credential: token_pb2.Credential, prompt: str
) -> tuple[bytes | None, token_pb2.LeaseOutcome]:
    """The picture, and what the pool should learn. A bearer that is refused is renewed once."""
    try:
        with httpx.Client(proxy=credential.proxy_url or None, timeout=120) as http:
            answer = ask_upstream(http, credential, prompt)
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                request = token_service_pb2.GetCredentialRequest(
                    token_id=credential.token_id, rejected_version=credential.version
                )
                credential = pool.GetCredential(request, metadata=AUTHORIZATION, timeout=60).credential
                answer = ask_upstream(http, credential, prompt)
            if answer.is_error:
                return None, failure(answer)
            media = answer.json()["media"]
            if not media:
                return None, token_pb2.LeaseOutcome(outcome=token_pb2.OUTCOME_CONTENT_REJECTED)
            picture = http.get(media[0]["image"]["generatedImage"]["fifeUrl"]).raise_for_status().content
    except httpx.HTTPError as error:
        print(f"the upstream was not reached: {type(error).__name__}", file=sys.stderr)
        return None, token_pb2.LeaseOutcome(outcome=token_pb2.OUTCOME_NETWORK_ERROR)
    return picture, token_pb2.LeaseOutcome(outcome=token_pb2.OUTCOME_OK, output_count=1)


def ask_upstream(http: httpx.Client, credential: token_pb2.Credential, prompt: str) -> httpx.Response:
    """One picture. The body is that of docs/upstream/flow.md, section 7."""
    context = {
        "sessionId": f";{time.time_ns() // 1_000_000}",
        "projectId": credential.project_id,
        "tool": "PINHOLE",
    }
    body = {
        "clientContext": context,
        "mediaGenerationContext": {"batchId": str(uuid.uuid4())},
        "useNewMedia": True,
        "requests": [
            {
                "clientContext": context,
                "seed": 7,
                "imageModelName": MODEL,
                "imageAspectRatio": "IMAGE_ASPECT_RATIO_LANDSCAPE",
                "structuredPrompt": {"parts": [{"text": prompt}]},
                "imageInputs": [],
            }
        ],
    }
    return http.post(
        f"{UPSTREAM}/projects/{credential.project_id}/flowMedia:batchGenerateImages",
        json=body,
        headers={"authorization": f"Bearer {credential.bearer}", "origin": "https://labs.google"},
    )


def failure(answer: httpx.Response) -> token_pb2.LeaseOutcome:
    """What the pool should learn from an answer that is an error."""
    outcome = token_pb2.LeaseOutcome(outcome=OUTCOMES.get(answer.status_code, token_pb2.OUTCOME_UPSTREAM_ERROR))
    if answer.headers.get("retry-after", "").isdecimal():
        outcome.retry_delay.FromSeconds(int(answer.headers["retry-after"]))
    return outcome


def explained(error: grpc.RpcError) -> str:
    """The error as its details tell it: decide by code and reason, show the message."""
    info = ErrorInfo()
    for detail in details_of(error):
        detail.Unpack(info)
    again = retry_delay(error)
    return f"{error.code().name} {info.reason}: {error.details()}" + (f" (again in {again:g} s)" if again else "")


def retry_delay(error: grpc.RpcError) -> float | None:
    """Seconds after which the server wants to be asked again, if it said."""
    retry = RetryInfo()
    for detail in details_of(error):
        if detail.Unpack(retry):
            return float(retry.retry_delay.ToTimedelta().total_seconds())
    return None


def details_of(error: grpc.RpcError) -> list[Any]:
    """The google.rpc details of the error; none of one that gRPC itself has made."""
    status = rpc_status.from_call(cast("grpc.Call", error))
    return list(status.details) if status else []


def duration(span: timedelta) -> Duration:
    """The same span in protobuf."""
    message = Duration()
    message.FromTimedelta(span)
    return message


if __name__ == "__main__":
    sys.exit(main())

"""Calls of Google's cloud as a correct client makes them, and ways to spoil each."""

import base64
import functools
import json
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from flow2api_sandbox.server import RunningSandbox

AUDIENCE = "https://oauth2.googleapis.com/token"
CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
PICTURES = "gemini-3.1-flash-image"
VEO = "veo-3.1-fast-generate-001"


@dataclass
class CloudClient:
    """One service account of the sandbox with a key, and the calls that it makes."""

    sandbox: RunningSandbox
    http: httpx.AsyncClient
    number: int = 1
    location: str = "us-central1"
    key: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def email(self) -> str:
        return f"sandbox-sa-{self.number}@sandbox-project-{self.number}.iam.gserviceaccount.com"

    @property
    def resource(self) -> str:
        return f"projects/sandbox-project-{self.number}/locations/{self.location}"

    async def open(self) -> "CloudClient":
        self.key = self.sandbox.service_account_key(self.number)
        answer = await self.grant(self.assertion())
        self.headers = {"authorization": f"Bearer {answer.json()['access_token']}"}
        return self

    def assertion(self, *, key_id: str | None = None, **claims: Any) -> str:
        now = int(time.time())
        payload = {"iss": self.email, "scope": CLOUD_PLATFORM, "aud": AUDIENCE, "iat": now - 10, "exp": now + 3000}
        payload |= claims
        kept = {name: value for name, value in payload.items() if value is not None}
        return _signed(self.key["private_key"], key_id or self.key["private_key_id"], json.dumps(kept))

    async def grant(self, assertion: str) -> httpx.Response:
        return await self.token(grant_type=JWT_BEARER, assertion=assertion)

    async def token(self, **form: str) -> httpx.Response:
        return await self.http.post(self.sandbox.token_url, data=form)

    async def control(self, path: str, body: dict[str, Any]) -> httpx.Response:
        answer = await self.http.post(self.sandbox.control_url + path, json=body)
        assert answer.is_success, answer.text
        return answer

    async def call(self, model: str, method: str, body: Any, **headers: str) -> httpx.Response:
        url = f"{self.sandbox.vertex_url}/v1/{self.resource}/publishers/google/models/{model}:{method}"
        return await self.http.post(url, json=body, headers=self.headers | headers)

    async def picture(self, prompt: str = "a kite", *, model: str = PICTURES, **image_config: Any) -> httpx.Response:
        body = {
            "contents": [{"role": "user", "parts": [{"text": prompt}]}],
            "generationConfig": {"imageConfig": image_config},
        }
        return await self.call(model, "generateContent", body)

    async def clip(
        self, prompt: str = "waves", *, model: str = VEO, instance: dict[str, Any] | None = None, **parameters: Any
    ) -> httpx.Response:
        body = {"instances": [{"prompt": prompt, **(instance or {})}], "parameters": parameters}
        return await self.call(model, "predictLongRunning", body)

    async def operation(self, name: str) -> httpx.Response:
        url = f"{self.sandbox.vertex_url}/v1/{name.partition('/operations/')[0]}:fetchPredictOperation"
        return await self.http.post(url, json={"operationName": name}, headers=self.headers)

    async def bill(self) -> dict[str, Any]:
        answer = await self.http.get(f"{self.sandbox.control_url}/bill")
        bill: dict[str, Any] = answer.json()
        return bill


def _signed(private_key: str, key_id: str, claims: str) -> str:
    header = json.dumps({"alg": "RS256", "typ": "JWT", "kid": key_id})
    text = f"{_encode(header.encode())}.{_encode(claims.encode())}"
    signature = _loaded(private_key).sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{text}.{_encode(signature)}"


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


@functools.cache
def _loaded(private_key: str) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(private_key.encode(), password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def error_of(answer: httpx.Response) -> tuple[int, str, str | None]:
    """HTTP status, status word, and the reason of ErrorInfo, of a Google error."""
    error = answer.json()["error"]
    assert error["code"] == answer.status_code
    reasons = [each["reason"] for each in error.get("details", []) if each["@type"].endswith("ErrorInfo")]
    return answer.status_code, error["status"], reasons[0] if reasons else None

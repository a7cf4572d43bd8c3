"""Things of a running system, for made-up requests that are to get past the lookups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from flow2api_testing.programs import block_until
from flow2api_testing.systems import API_KEY, System

RECEIVER = "127.0.0.1:9"
"""Where webhooks go: nobody listens there."""

IMAGE_MODEL = "gemini-3.1-flash-image"
VIDEO_MODEL = "veo-3.1-fast"
# Nothing uses it: no account of this provider is in the pool.
SPARE_ROUTE = ("gemini-3.0-pro-image", "vertex/gemini-3-pro-image")
# Without its only proxy the system would ask nobody.
DISABLE_PROXY = "/admin/proxies/{proxy_id}/disable"
DELIVERIES = "/admin/webhooks/deliveries"
SPARE_SETTING = "request_log_retention"


@dataclass(frozen=True, slots=True)
class Things:
    """Ids by the names of the parameters that take them, and a signed link to a picture."""

    ids: Mapping[str, str]
    link: Mapping[str, str]

    def put_into(self, case: Any) -> None:
        """Make a request of schemathesis name what is there; its other values stay."""
        if case.path == DISABLE_PROXY:
            return
        for name in case.path_parameters or {}:
            case.path_parameters[name] = self._id_for(name, case.path) or case.path_parameters[name]
        if case.path.startswith("/media/"):
            case.query = {**(case.query or {}), **self.link}
        if isinstance(case.body, dict):
            self._put_into_body(case.body, case.path)

    def _id_for(self, name: str, path: str) -> str | None:
        if name == "model_id":
            return VIDEO_MODEL if "predict" in path or "operations" in path else IMAGE_MODEL
        return self.ids.get(name)

    def _put_into_body(self, body: dict[str, Any], path: str) -> None:
        if path == "/admin/routes":
            body["model"], body["route"] = SPARE_ROUTE
        elif path == "/admin/settings":
            body[SPARE_SETTING] = next(iter(body.values()), None)
        elif path.startswith("/admin/proxies/"):
            body.pop("enabled", None)
        elif path.startswith("/admin/ledger"):
            body["state"] = "settled"
        elif "model" in body:
            body["model"] = VIDEO_MODEL if "videos" in path else IMAGE_MODEL
        elif "contents" in body:
            body["contents"] = [{"parts": [{"text": "a pier"}]}]
        elif "instances" in body:
            body["instances"] = [{"prompt": "waves"}]
        if "video" in body and "videos" in path:
            body["video"] = self.ids["video_id"]
        if "url" in body and "webhook" in path:
            body["url"] = f"http://{RECEIVER}/hook"


def made_things(system: System, admin: httpx.Client, *, proxy_url: str) -> Things:
    """One of each, made through the API; those of the administration are spare ones that nothing else needs."""
    headers = {"authorization": f"Bearer {API_KEY}"}
    with httpx.Client(base_url=system.base_url, headers=headers, timeout=60, trust_env=False) as client:
        ids = _ids_of_clients(client)
        link = urlsplit(_link_of_a_picture(client))
        ids |= _ids_of_the_administration(admin, proxy_url)
        video = f"/v1/videos/{ids['video_id']}"
        block_until(lambda: client.get(video).json()["status"] == "completed")
    ids["media_id"] = ids["name"] = link.path.rpartition("/")[2]
    block_until(lambda: bool(admin.get(DELIVERIES).json()))
    ids["delivery_id"] = admin.get(DELIVERIES).json()[0]["id"]
    return Things(ids=ids, link=dict(parse_qsl(link.query)))


def _ids_of_clients(client: httpx.Client) -> dict[str, str]:
    picture = {"model": IMAGE_MODEL, "prompt": "a pier"}
    clip = {"model": VIDEO_MODEL, "prompt": "waves", "webhook_url": f"http://{RECEIVER}/hook"}
    video_id = _posted(client, "/v1/videos", clip)["id"]
    job = client.post("/v1/images/generations", json=picture, headers={"prefer": "respond-async"})
    hook = {"name": "all", "url": f"http://{RECEIVER}/all", "event_types": ["video.completed"]}
    interaction = _posted(client, "/v1beta/interactions", {"model": IMAGE_MODEL, "input": "a pier"})
    return {
        "video_id": video_id,
        "operation_id": video_id,
        "job_id": job.raise_for_status().json()["id"],
        "endpoint_id": _posted(client, "/v1/webhook_endpoints", hook)["id"],
        "interaction_id": interaction["id"],
    }


def _link_of_a_picture(client: httpx.Client) -> str:
    picture = {"model": IMAGE_MODEL, "prompt": "a pier", "response_format": "url"}
    return str(_posted(client, "/v1/images/generations", picture)["data"][0]["url"])


def _ids_of_the_administration(admin: httpx.Client, proxy_url: str) -> dict[str, str]:
    token = _posted(admin, "/admin/tokens", {"st": "sandbox-st-3"})
    token_id = token.get("token", token)["id"]
    made = {
        "key_id": _posted(admin, "/admin/keys", {"name": "spare"})["id"],
        "proxy_id": _posted(admin, "/admin/proxies", {"url": proxy_url})["id"],
        "admin_id": _posted(admin, "/admin/admins", {"username": "spare", "password": "spare-password-1"})["id"],
    }
    _posted(admin, "/admin/login", {"username": "spare", "password": "spare-password-1"})
    line = admin.get("/admin/ledger").json()[0]
    return {name: str(value) for name, value in made.items()} | {
        "token_id": str(token_id),
        "project_id": admin.get(f"/admin/tokens/{token_id}/projects").json()[0]["project_id"],
        "session_id": next(each["id"] for each in admin.get("/admin/sessions").json() if each["username"] == "spare"),
        "generation_id": line["generation_id"],
        "line": line["line"],
    }


def _posted(client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(path, json=body)
    assert answer.is_success, f"{path}: {answer.text}"
    document: dict[str, Any] = answer.json()
    return document

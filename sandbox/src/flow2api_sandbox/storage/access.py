"""What Vertex reads and writes in buckets on behalf of a caller.

Source: docs/upstream/google-official.md, sections 3, 5, 8 and 9.
"""

from flow2api_sandbox.calls import Call
from flow2api_sandbox.credentials import Caller
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.storage.store import Bucket, GcsUri, StoredObject, parse_gcs_uri
from flow2api_sandbox.vertex.access import may_use_project

_HTTPS = "https://storage.googleapis.com/"


def require_object(call: Call, caller: Caller, text: str) -> StoredObject:
    """The object of a ``gs://`` URI (or its https form) that can be read now. Raises ApiError 400, 403."""
    text = text.replace(_HTTPS, "gs://", 1) if text.startswith(_HTTPS) else text
    uri = parse_gcs_uri(text)
    if uri is None or not uri.name:
        raise ApiError(400, f"Invalid URI: {text}. Only gs:// and https:// URIs of Cloud Storage can be read.")
    _require_bucket(call, caller, uri, permission="storage.objects.get")
    stored = call.world.storage.find(uri)
    if stored is None or stored.active_at > call.world.clock.now():
        raise ApiError(400, f"The Cloud Storage object {uri} was not found.")
    return stored


def require_prefix(call: Call, caller: Caller, text: str) -> GcsUri:
    """Where results may be written: ``gs://bucket/prefix/``. Raises ApiError 400, 403."""
    uri = parse_gcs_uri(text)
    if uri is None:
        raise ApiError(400, f"Invalid Cloud Storage URI: {text}. It must begin with gs:// and a bucket.")
    _require_bucket(call, caller, uri, permission="storage.objects.create")
    name = uri.name if not uri.name or uri.name.endswith("/") else f"{uri.name}/"
    return GcsUri(uri.bucket, name)


def _require_bucket(call: Call, caller: Caller, uri: GcsUri, *, permission: str) -> Bucket:
    bucket = call.world.storage.buckets.get(uri.bucket)
    if bucket is None:
        raise ApiError(400, f"The Cloud Storage bucket gs://{uri.bucket} does not exist.")
    if not may_use_project(caller, bucket.project):
        agent = f"service-{call.world.project(caller.project).number}@gcp-sa-aiplatform.iam.gserviceaccount.com"
        raise ApiError(403, f"{agent} does not have {permission} access to the Google Cloud Storage object {uri}.")
    return bucket

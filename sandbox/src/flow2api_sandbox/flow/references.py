"""Media that a call refers to. Source: docs/upstream/flow.md, sections 1, 6 and 12 (``media_gone``)."""

from flow2api_sandbox.accounts import Account
from flow2api_sandbox.assets import FlowAsset, GenerationStatus
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.ledger import GenerationKind
from flow2api_sandbox.world import World


def require_asset(world: World, account: Account, name: str, project_id: str, kind: GenerationKind) -> FlowAsset:
    """The finished medium of that kind, account and project.

    Raises ApiError 404 for a strange one, 400 for one of another kind or not finished.
    """
    asset = world.assets.get(name)
    if asset is None or asset.owner != account.name or asset.project_id != project_id:
        raise ApiError(404, "Requested entity was not found.")
    if asset.is_upload and world.clock.now() > asset.created_at + world.settings.upload_lifetime.total_seconds():
        raise ApiError(404, "Requested entity was not found.")
    if asset.kind is not kind:
        raise ApiError(400, f"Media {name} is not of type {kind.value}.")
    if asset.course is not None and asset.course.status(world.clock.now()) is not GenerationStatus.SUCCESSFUL:
        raise ApiError(400, f"Media {name} is not finished.", status="FAILED_PRECONDITION")
    return asset

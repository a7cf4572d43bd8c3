"""Pictures on their way up. Source: docs/upstream/flow.md, section 6 (new form)."""

from collections.abc import Mapping

from flow2api_common.media_types import extension_of
from flow2api_upstream.base64_text import encode_image
from flow2api_upstream.flow.calls import FlowCalls, bad_input, client_context
from flow2api_upstream.flow.classify import Scope, malformed
from flow2api_upstream.flow.handles import FlowMedia
from flow2api_upstream.json_reading import first_text, objects_at, text_at
from flow2api_upstream.port import Account, SourceImage, UploadedImage


async def upload_image(calls: FlowCalls, account: Account, image: SourceImage) -> UploadedImage:
    """Put a picture into the account's project. Its name stops working after about an hour."""
    if not account.project_id:
        raise bad_input("The account has no project to put the picture into.", "no_project")
    body = {
        "clientContext": client_context(account),
        "fileName": f"reference.{extension_of(image.mime_type)}",
        "imageBytes": encode_image(image),
        "isHidden": False,
        "isUserUploaded": True,
        "mimeType": image.mime_type,
    }
    answer = await calls.api(
        account,
        "POST",
        "/flow/uploadImage",
        body,
        scope=Scope.UPLOAD,
        timeout=calls.settings.upload_timeout,
    )
    media = uploaded_media(answer, account.project_id)
    return UploadedImage(handle=media.handle())


def uploaded_media(answer: Mapping[str, object], project_id: str) -> FlowMedia:
    """The media that an upload made, from any of the three shapes seen."""
    media = next((entry for entry in objects_at(answer, "media") if text_at(entry, "name")), {})
    name = first_text(text_at(media, "name"), text_at(answer, "mediaGenerationId", "mediaGenerationId"))
    if not name:
        raise malformed("the upload has no name")
    return FlowMedia(name=name, project=text_at(media, "projectId") or project_id)

"""The bodies that the Flow API takes, to the letter: an unknown or lacking field is a mistake.

Source: docs/upstream/flow.md, sections 3 and 5 to 11.
"""

from typing import Annotated, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Wire(BaseModel):
    """Base of every body and member; on the wire the names are camelCase."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)


def _check_uuid4(text: str) -> str:
    if UUID(text).version != 4:
        raise ValueError("must be a UUID of version 4")
    return text


Uuid4 = Annotated[str, AfterValidator(_check_uuid4)]
SessionId = Annotated[str, Field(pattern=r"^;\d{13}$")]
Text = Annotated[str, Field(min_length=1)]


class ProjectContext(Wire):
    """``clientContext`` of uploads and pictures."""

    session_id: SessionId
    project_id: Text
    tool: Literal["PINHOLE"]


class TieredContext(ProjectContext):
    """``clientContext`` of upsampling and clips."""

    user_paygate_tier: Text


class OldUploadContext(Wire):
    """``clientContext`` of the old upload."""

    session_id: SessionId
    tool: Literal["ASSET_MANAGER"]


class Part(Wire):
    """A piece of a prompt."""

    text: Text


class StructuredPrompt(Wire):
    """A prompt since February 2026."""

    parts: Annotated[list[Part], Field(min_length=1)]

    @property
    def text(self) -> str:
        """The prompt as one string."""
        return "".join(part.text for part in self.parts)


class UploadImage(Wire):
    """New upload."""

    client_context: ProjectContext
    file_name: Text
    image_bytes: Text
    is_hidden: bool
    is_user_uploaded: Literal[True]
    mime_type: Text


class OldImageInput(Wire):
    """The picture of an old upload."""

    raw_image_bytes: Text
    mime_type: Text
    is_user_uploaded: Literal[True]
    aspect_ratio: Text


class OldUploadImage(Wire):
    """Old upload."""

    image_input: OldImageInput
    client_context: OldUploadContext


class ImageBatchContext(Wire):
    """``mediaGenerationContext`` of pictures."""

    batch_id: Uuid4


class ImageInput(Wire):
    """A reference to a picture of the project."""

    name: Text
    image_input_type: Literal["IMAGE_INPUT_TYPE_REFERENCE"]


class ImageRequest(Wire):
    """One picture."""

    client_context: ProjectContext
    seed: Annotated[int, Field(ge=1, le=999_999)]
    image_model_name: Text
    image_aspect_ratio: Text
    structured_prompt: StructuredPrompt
    image_inputs: list[ImageInput]


class GenerateImages(Wire):
    """``batchGenerateImages``."""

    client_context: ProjectContext
    media_generation_context: ImageBatchContext
    use_new_media: Literal[True]
    requests: Annotated[list[ImageRequest], Field(min_length=1, max_length=4)]


class UpsampleImage(Wire):
    """``upsampleImage``."""

    media_id: Text
    target_resolution: Literal["UPSAMPLE_IMAGE_RESOLUTION_2K", "UPSAMPLE_IMAGE_RESOLUTION_4K"]
    client_context: TieredContext


class VideoBatchContext(Wire):
    """``mediaGenerationContext`` of clips."""

    batch_id: Uuid4
    audio_failure_preference: Literal["BLOCK_SILENCED_VIDEOS"]


class TextInput(Wire):
    """The prompt of a clip."""

    structured_prompt: StructuredPrompt


class NoMetadata(Wire):
    """``metadata`` without members."""


class MediaReference(Wire):
    """A medium of the project."""

    media_id: Text


class FrameImage(MediaReference):
    """A first or last frame."""

    crop_coordinates: dict[Literal["top", "left", "bottom", "right"], float] | None = None


class ReferenceImage(MediaReference):
    """A reference picture of a clip."""

    image_usage_type: Literal["IMAGE_USAGE_TYPE_ASSET"]


class WorkflowMetadata(Wire):
    """``metadata`` of an extension."""

    workflow_id: Text


class SceneMetadata(Wire):
    """``metadata`` of an upsampling."""

    scene_id: Uuid4


class VideoRequest(Wire):
    """What every clip request has."""

    aspect_ratio: Literal["VIDEO_ASPECT_RATIO_LANDSCAPE", "VIDEO_ASPECT_RATIO_PORTRAIT", "VIDEO_ASPECT_RATIO_SQUARE"]
    seed: Annotated[int, Field(ge=1, le=99_999)]
    video_model_key: Text

    @property
    def prompt(self) -> str:
        """The prompt; empty for an upsampling."""
        return ""

    @property
    def image_ids(self) -> list[str]:
        """Pictures referred to."""
        return []

    @property
    def source_id(self) -> str | None:
        """The clip to go on from."""
        return None


class TextVideo(VideoRequest):
    """A clip from text."""

    text_input: TextInput
    metadata: NoMetadata

    @property
    def prompt(self) -> str:
        """The prompt."""
        return self.text_input.structured_prompt.text


class StartImageVideo(TextVideo):
    """A clip from its first frame."""

    start_image: FrameImage

    @property
    def image_ids(self) -> list[str]:
        """The first frame."""
        return [self.start_image.media_id]


class StartEndImageVideo(TextVideo):
    """A clip from its first and last frame."""

    start_image: FrameImage
    end_image: FrameImage

    @property
    def image_ids(self) -> list[str]:
        """The first and the last frame."""
        return [self.start_image.media_id, self.end_image.media_id]


class ReferenceVideo(TextVideo):
    """A clip from references."""

    reference_images: Annotated[list[ReferenceImage], Field(min_length=1, max_length=3)]

    @property
    def image_ids(self) -> list[str]:
        """The references."""
        return [each.media_id for each in self.reference_images]


class ExtendVideo(VideoRequest):
    """The continuation of a clip."""

    text_input: TextInput
    video_input: MediaReference
    metadata: WorkflowMetadata

    @property
    def prompt(self) -> str:
        """The prompt."""
        return self.text_input.structured_prompt.text

    @property
    def source_id(self) -> str | None:
        """The clip to continue."""
        return self.video_input.media_id


class UpsampleVideo(VideoRequest):
    """A clip in higher resolution."""

    resolution: Literal["VIDEO_RESOLUTION_1080P", "VIDEO_RESOLUTION_4K"]
    video_input: MediaReference
    metadata: SceneMetadata

    @property
    def source_id(self) -> str | None:
        """The clip to upsample."""
        return self.video_input.media_id


RequestT_co = TypeVar("RequestT_co", bound=VideoRequest, covariant=True)


class SubmitVideos(Wire, Generic[RequestT_co]):
    """Any video submit in the current ("V2") form."""

    media_generation_context: VideoBatchContext
    client_context: TieredContext
    use_v2_model_config: Literal[True]
    requests: Annotated[list[RequestT_co], Field(min_length=1, max_length=4)]


class StatusEntry(Wire):
    """A clip asked about, current form."""

    name: Text
    project_id: Text


class OperationName(Wire):
    """The name of an operation."""

    name: Text


class OldStatusEntry(Wire):
    """A clip asked about, old form: the operation as it was answered."""

    operation: OperationName
    scene_id: str
    status: Text


class CurrentStatusQuery(Wire):
    """Status, current form."""

    media: Annotated[list[StatusEntry], Field(min_length=1)]


class OldStatusQuery(Wire):
    """Status, old form."""

    operations: Annotated[list[OldStatusEntry], Field(min_length=1)]


class ConcatInput(Wire):
    """One clip to join."""

    media_generation_id: Text
    length_nanos: int
    start_time_offset: Annotated[str, Field(pattern=r"^\d+(\.\d+)?s$")]
    end_time_offset: Annotated[str, Field(pattern=r"^\d+(\.\d+)?s$")]


class Concatenate(Wire):
    """``runVideoFxConcatenation``."""

    input_videos: Annotated[list[ConcatInput], Field(min_length=2)]


class WrappedOperation(Wire):
    """The operation member of a check."""

    operation: OperationName


class CheckConcatenation(Wire):
    """``runVideoFxCheckConcatenationStatus``."""

    operation: WrappedOperation


class CreateProjectInput(Wire):
    """Input of ``createProject``."""

    project_title: Text
    tool_name: Literal["PINHOLE"]


class DeleteProjectInput(Wire):
    """Input of ``deleteProject``."""

    project_to_delete_id: Text


class DeleteMediaInput(Wire):
    """Input of ``deleteMedia``."""

    names: Annotated[list[str], Field(min_length=1)]


InputT = TypeVar("InputT", bound=Wire)


class TrpcBody(Wire, Generic[InputT]):
    """The tRPC wrapping of an input."""

    json_: Annotated[InputT, Field(alias="json")]

"""What a media file shall be, without its bytes: cheap to keep, equal when the files are equal."""

from dataclasses import dataclass
from enum import StrEnum


class ImageFormat(StrEnum):
    """Picture encodings that the sandbox makes."""

    PNG = "PNG"
    JPEG = "JPEG"


@dataclass(frozen=True, slots=True)
class PictureRecipe:
    """A picture of that size in pixels, coloured by the seed, with two lines of text."""

    width: int
    height: int
    seed: int
    title: str
    caption: str
    image_format: ImageFormat = ImageFormat.PNG

    @property
    def mime_type(self) -> str:
        """The MIME type of the rendered file."""
        return "image/png" if self.image_format is ImageFormat.PNG else "image/jpeg"


@dataclass(frozen=True, slots=True)
class ClipRecipe:
    """A playable MP4 of that size in pixels and length; nothing in it depends on the prompt."""

    width: int
    height: int
    seconds: int

    @property
    def mime_type(self) -> str:
        """The MIME type of the rendered file."""
        return "video/mp4"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Bytes that somebody uploaded."""

    content: bytes
    mime_type: str


Recipe = PictureRecipe | ClipRecipe | StoredFile

"""A clip recipe, rendered as a playable MP4 by PyAV."""

import functools
import io
from fractions import Fraction

import av
from PIL import Image, ImageDraw, ImageFont

from flow2api_sandbox.media.recipes import ClipRecipe

_SMALL = 1280 * 1280
_MEDIUM = 1920 * 1920
_REMEMBERED = 64


def frames_per_second(recipe: ClipRecipe) -> int:
    """Fewer frames for larger pictures: the file must be real, not smooth."""
    pixels = recipe.width * recipe.height
    if pixels <= _SMALL:
        return 12
    return 6 if pixels <= _MEDIUM else 2


@functools.lru_cache(maxsize=_REMEMBERED)
def render_clip(recipe: ClipRecipe) -> bytes:
    """An H.264 MP4 of exactly the wanted size and length. A recipe is rendered once for all worlds of the process."""
    rate = frames_per_second(recipe)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "30"})
        stream.width, stream.height = recipe.width, recipe.height
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, rate)
        background = _background(recipe)
        for index in range(rate * recipe.seconds):
            frame = av.VideoFrame.from_image(  # type: ignore[no-untyped-call]  # PyAV leaves it untyped
                _frame(background, recipe, index, rate)
            )
            frame.pts = index
            frame.time_base = Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def _background(recipe: ClipRecipe) -> Image.Image:
    image = Image.new("RGB", (recipe.width, recipe.height), (24, 44, 72))
    size = min(recipe.width, recipe.height) // 16
    caption = f"sandbox {recipe.width}x{recipe.height} {recipe.seconds}s"
    ImageDraw.Draw(image).text((size, size), caption, font=ImageFont.load_default(size), fill=(235, 235, 235))
    return image


def _frame(background: Image.Image, recipe: ClipRecipe, index: int, rate: int) -> Image.Image:
    image = background.copy()
    side = min(recipe.width, recipe.height) // 6
    travel = recipe.width - side
    x = travel * index // max(1, rate * recipe.seconds - 1)
    y = (recipe.height - side) // 2
    ImageDraw.Draw(image).rectangle((x, y, x + side, y + side), fill=(240, 170, 40))
    return image

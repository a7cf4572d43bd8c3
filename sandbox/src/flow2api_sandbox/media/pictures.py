"""A picture recipe, rendered by Pillow."""

import colorsys
import io
import textwrap
import zlib

from PIL import Image, ImageDraw, ImageFont

from flow2api_sandbox.media.recipes import ImageFormat, PictureRecipe

_LINES_AT_MOST = 6


def render_picture(recipe: PictureRecipe) -> bytes:
    """The encoded picture. Equal recipes give equal bytes; another seed or title gives another picture."""
    digest = zlib.crc32(f"{recipe.seed}:{recipe.title}".encode())
    image = Image.new("RGB", (recipe.width, recipe.height), _color(digest, lightness=0.32))
    draw = ImageDraw.Draw(image)
    _draw_shapes(draw, recipe, digest)
    _draw_text(draw, recipe)
    buffer = io.BytesIO()
    if recipe.image_format is ImageFormat.PNG:
        image.save(buffer, "PNG", compress_level=1)
    else:
        image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _color(digest: int, *, lightness: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hls_to_rgb((digest % 3600) / 3600, lightness, 0.55)
    return int(red * 255), int(green * 255), int(blue * 255)


def _draw_shapes(draw: ImageDraw.ImageDraw, recipe: PictureRecipe, digest: int) -> None:
    unit = min(recipe.width, recipe.height)
    for index in range(4):
        part = (digest >> (index * 6)) & 0x3F
        x = recipe.width * (part % 8) // 8
        y = recipe.height * (part // 8) // 8
        radius = unit * (index + 2) // 14
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_color(digest + index * 700, lightness=0.5))


def _draw_text(draw: ImageDraw.ImageDraw, recipe: PictureRecipe) -> None:
    size = max(10, min(recipe.width, recipe.height) // 18)
    font = ImageFont.load_default(size)
    columns = max(8, int(recipe.width * 0.9 / (size * 0.6)))
    lines = textwrap.wrap(recipe.title, columns)[:_LINES_AT_MOST]
    margin = size
    y = margin
    for line in lines:
        draw.text((margin, y), line, font=font, fill=(255, 255, 255))
        y += int(size * 1.3)
    draw.text((margin, recipe.height - 2 * size), recipe.caption, font=font, fill=(230, 230, 230))

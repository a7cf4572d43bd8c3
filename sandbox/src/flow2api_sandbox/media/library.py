"""Bytes for recipes: rendered in a thread once, then remembered."""

import asyncio
from collections import OrderedDict

from flow2api_sandbox.media.clips import render_clip
from flow2api_sandbox.media.pictures import render_picture
from flow2api_sandbox.media.recipes import ClipRecipe, PictureRecipe, Recipe, StoredFile


class MediaLibrary:
    """Renders each recipe once while it is remembered; concurrent askers share one rendering."""

    def __init__(self, *, picture_cache_bytes: int) -> None:
        self._picture_cache_bytes = picture_cache_bytes
        self._pictures: OrderedDict[PictureRecipe, bytes] = OrderedDict()
        self._pictures_size = 0
        self._locks: dict[Recipe, asyncio.Lock] = {}

    async def content(self, recipe: Recipe) -> bytes:
        """The file. The first call for a recipe costs a rendering, outside the event loop."""
        if isinstance(recipe, StoredFile):
            return recipe.content
        found = self._remembered(recipe)
        if found is not None:
            return found
        lock = self._locks.setdefault(recipe, asyncio.Lock())
        try:
            async with lock:
                found = self._remembered(recipe)
                if found is None:
                    found = await self._render(recipe)
        finally:
            self._locks.pop(recipe, None)
        return found

    def _remembered(self, recipe: PictureRecipe | ClipRecipe) -> bytes | None:
        if isinstance(recipe, ClipRecipe):
            # `render_clip` remembers.
            return None
        found = self._pictures.get(recipe)
        if found is not None:
            self._pictures.move_to_end(recipe)
        return found

    async def _render(self, recipe: PictureRecipe | ClipRecipe) -> bytes:
        if isinstance(recipe, ClipRecipe):
            return await asyncio.to_thread(render_clip, recipe)
        content = await asyncio.to_thread(render_picture, recipe)
        self._pictures[recipe] = content
        self._pictures_size += len(content)
        while self._pictures_size > self._picture_cache_bytes and self._pictures:
            _, dropped = self._pictures.popitem(last=False)
            self._pictures_size -= len(dropped)
        return content

"""How far one picture is: stages, and an honest percentage that never goes back."""

from __future__ import annotations

import math
from collections.abc import Callable

from flow2api_proto.generation.v1 import image_pb2

_PERCENT_AT: dict[image_pb2.ImageStage.ValueType, int] = {
    image_pb2.IMAGE_STAGE_QUEUED: 0,
    image_pb2.IMAGE_STAGE_LEASED: 5,
    image_pb2.IMAGE_STAGE_UPLOADING: 8,
    image_pb2.IMAGE_STAGE_GENERATING: 15,
    image_pb2.IMAGE_STAGE_UPSCALING: 80,
    image_pb2.IMAGE_STAGE_STORING: 95,
}
_GENERATED_PERCENT = 80


class PictureProgress:
    """Tells the steps of one picture."""

    def __init__(self, tell: Callable[[image_pb2.ImageProgress], None]) -> None:
        self._tell = tell
        self._percent = 0
        self.attempt = 1

    def enter(self, stage: image_pb2.ImageStage.ValueType) -> None:
        """A stage begins."""
        self._percent = max(self._percent, _PERCENT_AT[stage])
        self._emit(stage)

    def generating(self, elapsed_seconds: float, typical_seconds: float) -> None:
        """The upstream still works. The estimate nears its end ever more slowly."""
        self._percent = max(self._percent, percent_while_generating(elapsed_seconds, typical_seconds))
        self._emit(image_pb2.IMAGE_STAGE_GENERATING)

    def _emit(self, stage: image_pb2.ImageStage.ValueType) -> None:
        self._tell(image_pb2.ImageProgress(stage=stage, progress_percent=self._percent, attempt=self.attempt))


def percent_while_generating(elapsed_seconds: float, typical_seconds: float) -> int:
    """How far a picture is whose upstream was asked so long ago; nears its end ever more slowly."""
    begun = _PERCENT_AT[image_pb2.IMAGE_STAGE_GENERATING]
    share = 1 - math.exp(-1.5 * max(elapsed_seconds, 0) / max(typical_seconds, 1))
    return begun + int(share * (_GENERATED_PERCENT - begun))

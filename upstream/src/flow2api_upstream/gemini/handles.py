"""What the handles of the Gemini API hold: the ``interaction``, and for a finished clip its ``uri`` if it has one."""

from dataclasses import dataclass

from flow2api_upstream.handles import read_handle, write_handle
from flow2api_upstream.port import MediaHandle, OperationHandle

_PROVIDER = "gemini"


def operation_handle(interaction: str) -> OperationHandle:
    """The handle of a created interaction."""
    return OperationHandle(write_handle(_PROVIDER, {"interaction": interaction}))


def interaction_of(handle: OperationHandle) -> str:
    """The id of the interaction. Raises BAD_INPUT when another provider wrote the handle."""
    return read_handle(_PROVIDER, handle).get("interaction", "")


@dataclass(frozen=True, slots=True)
class GeminiMedia:
    """A clip: the file at ``uri``, or inside the answer of its interaction when there is no URI."""

    interaction: str
    uri: str = ""

    def handle(self) -> MediaHandle:
        """Its text."""
        return MediaHandle(write_handle(_PROVIDER, {"interaction": self.interaction, "uri": self.uri}))

    @classmethod
    def read(cls, handle: MediaHandle) -> "GeminiMedia":
        """Its members. Raises BAD_INPUT when another provider wrote the handle."""
        members = read_handle(_PROVIDER, handle)
        return cls(members.get("interaction", ""), members.get("uri", ""))

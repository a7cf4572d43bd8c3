"""What the handles of the official APIs hold.

Of a clip under way the ``interaction`` or the long-running ``operation``; of a finished one also its ``uri``, if it has
one: without it the clip is inside the answer about the interaction or the operation.
"""

from dataclasses import dataclass

from flow2api_upstream.handles import read_handle, write_handle
from flow2api_upstream.port import MediaHandle, OperationHandle


@dataclass(frozen=True, slots=True)
class GoogleOperation:
    """A submitted clip; exactly one name is set."""

    interaction: str = ""
    operation: str = ""

    def handle(self, provider: str) -> OperationHandle:
        """Its text."""
        members = {"interaction": self.interaction, "operation": self.operation}
        return OperationHandle(write_handle(provider, members))

    @classmethod
    def read(cls, provider: str, handle: OperationHandle) -> "GoogleOperation":
        """Its members. Raises BAD_INPUT when another provider wrote the handle."""
        members = read_handle(provider, handle)
        return cls(members.get("interaction", ""), members.get("operation", ""))


@dataclass(frozen=True, slots=True)
class GoogleMedia:
    """A clip, or a picture that was uploaded (only a ``uri``)."""

    interaction: str = ""
    operation: str = ""
    uri: str = ""
    mime_type: str = ""

    def handle(self, provider: str) -> MediaHandle:
        """Its text."""
        members = {
            "interaction": self.interaction,
            "operation": self.operation,
            "uri": self.uri,
            "mime_type": self.mime_type,
        }
        return MediaHandle(write_handle(provider, members))

    @classmethod
    def read(cls, provider: str, handle: MediaHandle) -> "GoogleMedia":
        """Its members. Raises BAD_INPUT when another provider wrote the handle."""
        members = read_handle(provider, handle)
        return cls(
            members.get("interaction", ""),
            members.get("operation", ""),
            members.get("uri", ""),
            members.get("mime_type", ""),
        )

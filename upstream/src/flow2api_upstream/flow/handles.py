"""What Flow's handles hold.

A media handle names a picture or a clip: ``name``, the ``project`` and ``workflow`` it belongs to, the ``session`` (id
of the user action that made it), and for a clip the ``url`` that its status told. An operation handle names a submitted
clip in the current form (``name``, ``project``, ``workflow``) or in the old one (``operation``, ``scene``).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from flow2api_upstream.handles import read_handle, write_handle
from flow2api_upstream.port import Account, MediaHandle, OperationHandle

_PROVIDER = "flow"


@dataclass(frozen=True, slots=True)
class FlowMedia:
    """A picture or clip living in a Flow project."""

    name: str = ""
    project: str = ""
    workflow: str = ""
    session: str = ""
    url: str = ""

    def handle(self) -> MediaHandle:
        """Its text."""
        return MediaHandle(
            write_handle(
                _PROVIDER,
                {
                    "name": self.name,
                    "project": self.project,
                    "workflow": self.workflow,
                    "session": self.session,
                    "url": self.url,
                },
            )
        )

    @classmethod
    def read(cls, handle: MediaHandle) -> "FlowMedia":
        """Its members. Raises BAD_INPUT when another provider wrote it."""
        members = read_handle(_PROVIDER, handle)
        return cls(
            name=members.get("name", ""),
            project=members.get("project", ""),
            workflow=members.get("workflow", ""),
            session=members.get("session", ""),
            url=members.get("url", ""),
        )


@dataclass(frozen=True, slots=True)
class FlowOperation:
    """A submitted clip."""

    name: str = ""
    project: str = ""
    workflow: str = ""
    operation: str = ""
    scene: str = ""

    @property
    def names(self) -> frozenset[str]:
        """Every name that an answer may use for it."""
        return frozenset({self.name, self.operation} - {""})

    def handle(self) -> OperationHandle:
        """Its text."""
        return OperationHandle(
            write_handle(
                _PROVIDER,
                {
                    "name": self.name,
                    "project": self.project,
                    "workflow": self.workflow,
                    "operation": self.operation,
                    "scene": self.scene,
                },
            )
        )

    @classmethod
    def read(cls, handle: OperationHandle) -> "FlowOperation":
        """Its members. Raises BAD_INPUT when another provider wrote it."""
        members = read_handle(_PROVIDER, handle)
        return cls(
            name=members.get("name", ""),
            project=members.get("project", ""),
            workflow=members.get("workflow", ""),
            operation=members.get("operation", ""),
            scene=members.get("scene", ""),
        )


def in_project_of(account: Account, media: Iterable[MediaHandle | None]) -> Account:
    """The account in the project where the media live, as they are known in no other; else in its own.

    Source: docs/upstream/flow.md, section 1.
    """
    projects = (FlowMedia.read(handle).project for handle in media if handle)
    project = next((project for project in projects if project), "")
    return replace(account, project_id=project) if project else account

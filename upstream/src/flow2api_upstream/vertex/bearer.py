"""What a Vertex account shows, as one text that goes through the pool: an access token or an express key."""

from dataclasses import dataclass, field

_KEY = "key:"
_TOKEN = "token:"  # noqa: S105 - a mark in front of one
_PROJECT = "@project:"


@dataclass(frozen=True, slots=True)
class VertexBearer:
    """``quota_project`` is named in calls of users, who belong to no project. Source:
    docs/upstream/google-official.md, section 3."""

    value: str = field(repr=False)
    is_key: bool = False
    quota_project: str = ""

    def text(self) -> str:
        """As the pool keeps it."""
        if self.is_key:
            return _KEY + self.value
        return _TOKEN + self.value + (_PROJECT + self.quota_project if self.quota_project else "")

    @classmethod
    def read(cls, text: str) -> "VertexBearer":
        """The same again; any other text counts as an access token, which the upstream then refuses."""
        if text.startswith(_KEY):
            return cls(text.removeprefix(_KEY), is_key=True)
        value, _, project = text.removeprefix(_TOKEN).partition(_PROJECT)
        return cls(value, quota_project=project)

    def headers(self) -> dict[str, str]:
        """The headers that make the call this account's."""
        if self.is_key:
            return {"x-goog-api-key": self.value}
        project = {"x-goog-user-project": self.quota_project} if self.quota_project else {}
        return {"authorization": f"Bearer {self.value}", **project}

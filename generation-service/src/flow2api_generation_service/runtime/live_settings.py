"""Settings of the service that administrators may change at run time, and a view of all settings that follows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Any, Final, cast

from pydantic import TypeAdapter, ValidationError

from flow2api_common.errors import InvalidArgument, NotFound
from flow2api_common.logs import get_logger
from flow2api_generation_service.runtime.store import Kept, SettingStore, Values
from flow2api_generation_service.settings import GenerationServiceSettings

log = get_logger(__name__)

CHANGEABLE: Final = MappingProxyType(
    {
        "image_token_wait": "How long a picture waits for a token in all, in seconds.",
        "media_retention": "How long generated files are kept, in seconds; those that are there keep their time.",
        "request_log_retention": "How long the request log is kept, in seconds.",
        "upload_retention": "How long uploaded input pictures are kept, in seconds; those that are there keep theirs.",
        "video_queue_timeout": "How long a new video waits for a token before it expires, in seconds.",
        "video_resubmit_unknown": "Whether a video whose submission was not answered is handed in again, which may be "
        "charged twice.",
    }
)
"""What is worth changing while the service runs: read whenever it is needed, and never copied at the start."""

_PREFIX: Final = "setting:"
_MOST_CHANGES: Final = 50


@dataclass(frozen=True, slots=True)
class LiveSetting:
    """A setting that can be changed: its value now, without a change, and the change if there is one."""

    name: str
    description: str
    value: Any
    default: Any
    kept: Kept | None


class LiveSettings:
    """Holds the settings as they are now."""

    def __init__(self, *, base: GenerationServiceSettings, store: SettingStore) -> None:
        self._base = base
        self._store = store
        self._current = base
        store.listen(self._take)

    @property
    def view(self) -> GenerationServiceSettings:
        """All settings; what is read of it is the value of that moment."""
        return cast("GenerationServiceSettings", _View(self))

    @property
    def current(self) -> GenerationServiceSettings:
        """All settings as they are now."""
        return self._current

    def all(self) -> list[LiveSetting]:
        """Those that can be changed, by name."""
        return [self._of(name) for name in sorted(CHANGEABLE)]

    async def change(self, name: str, value: Any, *, actor: str) -> LiveSetting:
        """Keep a value; None takes the change back. Raises NotFound SETTING_NOT_FOUND, and InvalidArgument."""
        await self._store.change(_PREFIX + name, _to_keep(name, value, field="value_json"), actor=actor)
        return self._of(name)

    async def change_all(self, changes: Sequence[tuple[str, Any]], *, actor: str) -> list[LiveSetting]:
        """Keep several values, or none of them when one is refused. Raises as `change` does."""
        names = [name for name, _ in changes]
        if not 1 <= len(changes) <= _MOST_CHANGES or len(set(names)) < len(names):
            raise InvalidArgument.of("changes", f"There are 1 to {_MOST_CHANGES} changes, each of another setting.")
        kept = {_PREFIX + name: _to_keep(name, value, field=name) for name, value in changes}
        await self._store.change_all(kept, actor=actor)
        return [self._of(name) for name in names]

    def _of(self, name: str) -> LiveSetting:
        return LiveSetting(
            name=name,
            description=CHANGEABLE[name],
            value=_plain(getattr(self._current, name)),
            default=_plain(getattr(self._base, name)),
            kept=self._store.values.get(_PREFIX + name),
        )

    def _take(self, values: Values) -> None:
        changes: dict[str, Any] = {}
        for name in CHANGEABLE:
            kept = values.get(_PREFIX + name)
            if kept is None:
                continue
            try:
                changes[name] = _parsed(name, kept.value)
            except InvalidArgument:
                # Of another release; the default is better than to stop.
                log.warning("setting_not_understood", name=name)
        self._current = self._base.model_copy(update=changes)


class _View:
    def __init__(self, settings: LiveSettings) -> None:
        self._settings = settings

    def __getattr__(self, name: str) -> Any:
        return getattr(self._settings.current, name)


def _to_keep(name: str, value: Any, *, field: str) -> Any:
    if name not in CHANGEABLE:
        raise NotFound("There is no such setting that can be changed.", reason="SETTING_NOT_FOUND")
    return None if value is None else _plain(_parsed(name, value, field=field))


def _parsed(name: str, value: Any, *, field: str = "value_json") -> Any:
    setting = GenerationServiceSettings.model_fields[name]
    kind: Any = Annotated[(setting.annotation, *setting.metadata)] if setting.metadata else setting.annotation
    if isinstance(value, bool) != (setting.annotation is bool):
        raise InvalidArgument.of(field, f"'{name}' is {'true or false' if setting.annotation is bool else 'a number'}.")
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        message = error.errors(include_url=False, include_input=False)[0]["msg"].removeprefix("Value error, ")
        raise InvalidArgument.of(field, f"'{name}': {message}.") from error


def _plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        return int(seconds) if seconds.is_integer() else seconds
    return value

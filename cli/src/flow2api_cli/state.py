"""The state directory of the all-in-one mode: its places, its lock and its generated secrets."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from pydantic import SecretStr

_SECRET_BYTES = 32
_PASSWORD_BYTES = 18


class StateDirectoryBusy(RuntimeError):
    """Another process runs on the state directory."""


class StateDirectoryBroken(RuntimeError):
    """The state directory cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """Where each thing of an all-in-one installation is kept."""

    root: Path

    @property
    def token_database_url(self) -> str:
        return f"sqlite+aiosqlite:///{self.root / 'tokens.db'}"

    @property
    def generation_database_url(self) -> str:
        return f"sqlite+aiosqlite:///{self.root / 'generation.db'}"

    @property
    def media_url(self) -> str:
        return f"file://{self.root / 'media'}"

    @property
    def redis(self) -> Path:
        return self.root / "redis"

    @property
    def nats(self) -> Path:
        return self.root / "nats"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def secrets_file(self) -> Path:
        return self.root / "secrets.toml"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the directory and hold it for this process. Raises StateDirectoryBusy, StateDirectoryBroken.

        The lock goes with the process, however it ends.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            (self.root / "media").mkdir(exist_ok=True)
            lock = (self.root / "lock").open("a+")
        except OSError as exc:
            raise StateDirectoryBroken(f"{self.root} cannot be used: {exc.strerror}") from exc
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                lock.seek(0)
                holder = lock.read().strip() or "unknown"
                raise StateDirectoryBusy(
                    f"flow2api already runs on {self.root} (process {holder}); stop it, or choose another "
                    f"FLOW2API_STATE_DIR"
                ) from exc
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The secrets of an installation, given by settings or generated."""

    secret_key: SecretStr
    service_token: SecretStr
    api_key: SecretStr
    admin_password: SecretStr


def load_or_generate_secrets(state: StateDirectory, given: Mapping[str, SecretStr | None]) -> tuple[Secrets, list[str]]:
    """Give the secrets and the names of those generated just now.

    A given secret wins and is not written down; a missing one is read from the secrets file, or made and kept there,
    readable by its owner only. Raises StateDirectoryBroken when the file cannot be read.
    """
    kept = read_secrets(state)
    generated: list[str] = []
    chosen: dict[str, SecretStr] = {}
    for field in fields(Secrets):
        secret = given.get(field.name) or kept.get(field.name)
        if secret is None:
            secret = kept[field.name] = _generate(field.name)
            generated.append(field.name)
        chosen[field.name] = secret
    if generated:
        write_secrets(state, kept)
    return Secrets(**chosen), generated


def read_secrets(state: StateDirectory) -> dict[str, SecretStr]:
    """What the secrets file holds; nothing when there is none. Raises StateDirectoryBroken."""
    try:
        text = state.secrets_file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise StateDirectoryBroken(f"{state.secrets_file} cannot be read: {exc.strerror}") from exc
    try:
        return {name: SecretStr(str(value)) for name, value in tomllib.loads(text).items()}
    except tomllib.TOMLDecodeError:
        # The cause quotes the line, which may be a secret.
        raise StateDirectoryBroken(f"{state.secrets_file} is not TOML") from None


def write_secrets(state: StateDirectory, kept: Mapping[str, SecretStr]) -> None:
    """Replace the secrets file, readable by its owner only."""
    # A JSON string of ASCII is a TOML basic string. Written beside and renamed: a crash leaves the old file or the new.
    lines = ["# Generated on the first start. Losing secret_key makes the stored tokens unreadable."]
    lines += [f"{name} = {json.dumps(secret.get_secret_value())}" for name, secret in sorted(kept.items())]
    beside = state.secrets_file.with_suffix(".new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(state.secrets_file)


def _generate(name: str) -> SecretStr:
    match name:
        case "api_key":
            return SecretStr(f"sk-{secrets.token_urlsafe(_SECRET_BYTES)}")
        case "admin_password":
            return SecretStr(secrets.token_urlsafe(_PASSWORD_BYTES))
        case _:
            return SecretStr(secrets.token_urlsafe(_SECRET_BYTES))

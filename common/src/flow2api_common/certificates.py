"""PEM files of certificates and keys: checked before they are used, read again when they have changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from flow2api_common.logs import get_logger

log = get_logger(__name__)

T = TypeVar("T")


class CertificateError(ValueError):
    """A file cannot be used; the message says why, and holds nothing of its content."""


def read_certificates(path: Path) -> bytes:
    """The file, which has one PEM certificate or several. Raises CertificateError, also when the first has ended."""
    content = _read(path)
    try:
        first, *_ = x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise CertificateError(f"{path} holds no PEM certificate that can be read") from error
    if first.not_valid_after_utc < datetime.now(UTC):
        raise CertificateError(f"the certificate in {path} ended on {first.not_valid_after_utc:%Y-%m-%d}")
    return content


def read_key_of(certificate_path: Path, path: Path) -> bytes:
    """The file, which has the PEM key of the first certificate in the other file. Raises CertificateError."""
    content = _read(path)
    key = _load_key(path, content)
    certificate = x509.load_pem_x509_certificates(read_certificates(certificate_path))[0]
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        raise CertificateError(f"{path} is not the key of the certificate in {certificate_path}")
    return content


def _load_key(path: Path, content: bytes) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(content, password=None)
    except TypeError as error:
        raise CertificateError(f"the key in {path} wants a passphrase; give it without one") from error
    except (ValueError, UnsupportedAlgorithm):
        # Without its cause, which might quote the key.
        raise CertificateError(f"{path} holds no PEM private key that can be read") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(f"{path} cannot be read: {error.strerror}") from error


class WatchedFiles(Generic[T]):
    """What ``load`` makes of some files, made again when one of them has changed.

    Files that are changed one after the other, or wrongly, are told in the log once, and the last good ones stay in use
    until all fit together. May be asked from any thread.
    """

    def __init__(self, paths: tuple[Path, ...], load: Callable[[], T]) -> None:
        self._paths = paths
        self._load = load
        self._seen = self._signature()
        self.current = load()

    def look(self) -> T | None:
        """What the files are now, if that is new since the last look. Raises nothing."""
        signature = self._signature()
        if signature == self._seen:
            return None
        self._seen = signature
        try:
            self.current = self._load()
        except CertificateError as error:
            log.warning("certificates_not_renewed", cause=str(error))
            return None
        log.info("certificates_renewed", paths=[str(path) for path in self._paths])
        return self.current

    def _signature(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_signature_of(path) for path in self._paths)


def _signature_of(path: Path) -> tuple[int, int, int] | None:
    # Links are followed: a mounted Kubernetes secret is renewed by pointing a link at another directory.
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size

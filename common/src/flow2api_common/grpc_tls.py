"""TLS on gRPC by settings. It is for addresses ``host:port``; a unix socket is guarded by the permissions of its file.

Certificates that change on disk are used from the next connection on: gRPC asks the server for them at each handshake,
and a client's channel is replaced (`flow2api_common.grpc_renewing_channel`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

import grpc
from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from flow2api_common.certificates import WatchedFiles, read_certificates, read_key_of
from flow2api_common.settings import ENV_PREFIX, BaseServiceSettings


def _none_when_empty(value: object) -> object:
    return None if value == "" else value


# Checked also when it is not given: it may have to be.
OptionalPath = Annotated[Path | None, Field(validate_default=True), BeforeValidator(_none_when_empty)]
"""A file; an empty text is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """The files of a server; with ``client_ca_file`` every client must show a certificate signed by it."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTls:
    """The files of a client. ``server_name`` is expected in the server's certificate instead of the address's host."""

    ca_file: Path
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str = ""


class GrpcServerTlsSettings(BaseServiceSettings):
    """What a gRPC server shows, and whom it lets in. Without a certificate it speaks in clear."""

    grpc_server_cert_file: OptionalPath = None
    """Certificate chain (PEM) of this process's gRPC server, which then speaks TLS; read again when it changes."""
    grpc_server_key_file: OptionalPath = None
    """Private key (PEM, without a passphrase) of that certificate."""
    grpc_server_client_ca_file: OptionalPath = None
    """CA certificates (PEM); a gRPC client must show a certificate that one of them has signed (mTLS)."""

    @property
    def server_tls(self) -> ServerTls | None:
        """The files; None to speak in clear."""
        if self.grpc_server_cert_file is None or self.grpc_server_key_file is None:
            return None
        return ServerTls(
            cert_file=self.grpc_server_cert_file,
            key_file=self.grpc_server_key_file,
            client_ca_file=self.grpc_server_client_ca_file,
        )

    @field_validator("grpc_server_cert_file")
    @classmethod
    def _check_server_cert(cls, path: Path | None) -> Path | None:
        return _checked_certificates(path)

    @field_validator("grpc_server_key_file")
    @classmethod
    def _check_server_key(cls, path: Path | None, others: ValidationInfo) -> Path | None:
        return _checked_key(path, others, "grpc_server_cert_file")

    @field_validator("grpc_server_client_ca_file")
    @classmethod
    def _check_server_client_ca(cls, path: Path | None, others: ValidationInfo) -> Path | None:
        return _checked_certificates(path, others, "grpc_server_cert_file")


class GrpcClientTlsSettings(BaseServiceSettings):
    """Whom a gRPC client believes, and what it shows. Without CA certificates it speaks in clear."""

    grpc_ca_file: OptionalPath = None
    """CA certificates (PEM) of the gRPC servers, to which this process then speaks TLS; read again when it changes."""
    grpc_client_cert_file: OptionalPath = None
    """Certificate chain (PEM) that this process shows to gRPC servers that want one (mTLS)."""
    grpc_client_key_file: OptionalPath = None
    """Private key (PEM, without a passphrase) of that certificate."""
    token_server_name: str = ""
    """Name in the token service's certificate, when it is not the host of ``FLOW2API_TOKEN_ADDR``."""

    def client_tls(self, server_name: str) -> ClientTls | None:
        """The files for one server; None to speak in clear."""
        if self.grpc_ca_file is None:
            return None
        return ClientTls(
            ca_file=self.grpc_ca_file,
            cert_file=self.grpc_client_cert_file,
            key_file=self.grpc_client_key_file,
            server_name=server_name,
        )

    @field_validator("grpc_ca_file")
    @classmethod
    def _check_server_ca(cls, path: Path | None) -> Path | None:
        return _checked_certificates(path)

    @field_validator("grpc_client_cert_file")
    @classmethod
    def _check_client_cert(cls, path: Path | None, others: ValidationInfo) -> Path | None:
        return _checked_certificates(path, others, "grpc_ca_file")

    @field_validator("grpc_client_key_file")
    @classmethod
    def _check_client_key(cls, path: Path | None, others: ValidationInfo) -> Path | None:
        return _checked_key(path, others, "grpc_client_cert_file")


def server_credentials(tls: ServerTls) -> grpc.ServerCredentials:
    """For `grpc.aio.Server.add_secure_port`. Raises CertificateError."""

    def load() -> grpc.ServerCertificateConfiguration:
        cert, key = read_certificates(tls.cert_file), read_key_of(tls.cert_file, tls.key_file)
        client_ca = None if tls.client_ca_file is None else read_certificates(tls.client_ca_file)
        return grpc.ssl_server_certificate_configuration([(key, cert)], client_ca)

    files = WatchedFiles(_given(tls.cert_file, tls.key_file, tls.client_ca_file), load)
    # None means "no change", which its types do not know.
    look = cast("Callable[[], grpc.ServerCertificateConfiguration]", files.look)
    return grpc.dynamic_ssl_server_credentials(
        files.current, look, require_client_authentication=tls.client_ca_file is not None
    )


def watched_client_credentials(tls: ClientTls) -> WatchedFiles[grpc.ChannelCredentials]:
    """For `grpc.aio.secure_channel`, anew when a file changes. Raises CertificateError."""

    def load() -> grpc.ChannelCredentials:
        cert = key = None
        if tls.cert_file is not None and tls.key_file is not None:
            cert, key = read_certificates(tls.cert_file), read_key_of(tls.cert_file, tls.key_file)
        return grpc.ssl_channel_credentials(read_certificates(tls.ca_file), key, cert)

    return WatchedFiles(_given(tls.ca_file, tls.cert_file, tls.key_file), load)


def _given(*paths: Path | None) -> tuple[Path, ...]:
    return tuple(path for path in paths if path is not None)


def _checked_certificates(path: Path | None, others: ValidationInfo | None = None, needed: str = "") -> Path | None:
    """The path, whose file can be used. ``needed`` names the setting without which it has no effect."""
    if path is None:
        return None
    if others is not None and needed in others.data and others.data[needed] is None:
        raise ValueError(f"has no effect without {_variable(needed)}")
    read_certificates(path)
    return path


def _checked_key(path: Path | None, others: ValidationInfo, certificate: str) -> Path | None:
    if certificate not in others.data:  # Wrong itself, and told.
        return path
    certificate_path: Path | None = others.data[certificate]
    if path is None:
        if certificate_path is not None:
            raise ValueError(f"is required beside {_variable(certificate)}")
        return None
    if certificate_path is None:
        raise ValueError(f"has no effect without {_variable(certificate)}")
    read_key_of(certificate_path, path)
    return path


def _variable(name: str) -> str:
    return f"{ENV_PREFIX}{name.upper()}"

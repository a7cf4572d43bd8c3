"""The OpenAPI document, made true where the framework guesses."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI

_SCHEMES: Final[dict[str, Any]] = {
    "apiKey": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "adminSession": {"type": "http", "scheme": "bearer", "description": "The token of POST /admin/login."},
}
_OPEN_PATHS: Final = frozenset({"/admin/login"})


class DocumentedApp(FastAPI):
    """FastAPI whose document knows who may call what, and that nothing is ever answered with 422."""

    def openapi(self) -> dict[str, Any]:
        """The document; made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            components = document.setdefault("components", {})
            components["securitySchemes"] = _SCHEMES
            for name in ("HTTPValidationError", "ValidationError"):
                components.get("schemas", {}).pop(name, None)
            for path, methods in document["paths"].items():
                for operation in methods.values():
                    operation["responses"].pop("422", None)
                    if path not in _OPEN_PATHS and path.startswith(("/v1", "/admin")):
                        scheme = "adminSession" if path.startswith("/admin") else "apiKey"
                        operation.setdefault("security", [{scheme: []}])
        return self.openapi_schema or {}

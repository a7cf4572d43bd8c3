"""Pages of the lists for administrators."""

from __future__ import annotations

from typing import Final

from flow2api_common.errors import InvalidArgument

_NEXT_PAGE: Final = "x-next-page-token"


def page_limit(text: str, most: int) -> int:
    """The page size that a query asks for. Raises InvalidArgument."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= most):
        raise InvalidArgument.of("limit", f"'limit' must be between 1 and {most}.")
    return int(text)


def page_headers(next_page_token: str) -> dict[str, str]:
    """The header that names the next page; none at the end."""
    return {_NEXT_PAGE: next_page_token} if next_page_token else {}

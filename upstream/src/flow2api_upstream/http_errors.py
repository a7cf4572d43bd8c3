"""What each curl_cffi exception means to us: the one place where they are translated.

``REQUEST_SENT`` says whether the upstream may have read the request when the exception came up. Failures of name
resolution, proxy, connection and TLS come before the request; for the others libcurl's progress decides, and where it
cannot be known the answer is "maybe", because a paid call must not be repeated on a guess.

Of a call over a proxy, what fails before the request is out counts as the proxy's failure: libcurl speaks to nobody
else until then. That it may be the upstream's nevertheless is for a check of the proxy to find out.
Source: curl_cffi/requests/exceptions.py of curl_cffi 0.16; https://curl.se/libcurl/c/libcurl-errors.html.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from curl_cffi import CurlECode, CurlError, CurlInfo
from curl_cffi.requests import exceptions as curl_exceptions

from flow2api_upstream.port import FailureClass, UpstreamFailure


@dataclass(frozen=True, slots=True)
class Translation:
    """One row: the class, one plain sentence, and whether the request can have been sent by then."""

    failure_class: FailureClass
    message: str
    may_be_sent: bool
    timed_out: bool = False


_NETWORK = FailureClass.NETWORK
_UPSTREAM = FailureClass.UPSTREAM

TRANSLATIONS: Mapping[type[CurlError], Translation] = MappingProxyType(
    {
        CurlError: Translation(_NETWORK, "The connection to the upstream failed.", may_be_sent=True),
        curl_exceptions.RequestException: Translation(
            _NETWORK, "The connection to the upstream failed.", may_be_sent=True
        ),
        curl_exceptions.CookieConflict: Translation(_NETWORK, "The request had two equal cookies.", may_be_sent=False),
        curl_exceptions.SessionClosed: Translation(_NETWORK, "The connection pool is closed.", may_be_sent=False),
        curl_exceptions.ImpersonateError: Translation(
            _NETWORK, "The browser to impersonate is not known to curl.", may_be_sent=False
        ),
        curl_exceptions.InvalidJSONError: Translation(_UPSTREAM, "The upstream sent no JSON.", may_be_sent=True),
        curl_exceptions.JSONDecodeError: Translation(_UPSTREAM, "The upstream sent no JSON.", may_be_sent=True),
        curl_exceptions.HTTPError: Translation(_NETWORK, "The upstream broke the HTTP protocol.", may_be_sent=True),
        curl_exceptions.IncompleteRead: Translation(
            _NETWORK, "The upstream's answer ended too early.", may_be_sent=True
        ),
        curl_exceptions.ConnectionError: Translation(
            _NETWORK, "The connection to the upstream was lost.", may_be_sent=True
        ),
        curl_exceptions.DNSError: Translation(_NETWORK, "The upstream's name did not resolve.", may_be_sent=False),
        curl_exceptions.ProxyError: Translation(_NETWORK, "The proxy did not let us through.", may_be_sent=False),
        curl_exceptions.SSLError: Translation(_NETWORK, "TLS with the upstream failed.", may_be_sent=False),
        curl_exceptions.CertificateVerifyError: Translation(
            _NETWORK, "The upstream's certificate is not trusted.", may_be_sent=False
        ),
        curl_exceptions.Timeout: Translation(
            _NETWORK, "The upstream did not answer in time.", may_be_sent=True, timed_out=True
        ),
        curl_exceptions.ConnectTimeout: Translation(
            _NETWORK, "The upstream could not be reached in time.", may_be_sent=False, timed_out=True
        ),
        curl_exceptions.ReadTimeout: Translation(
            _NETWORK, "The upstream did not answer in time.", may_be_sent=True, timed_out=True
        ),
        curl_exceptions.URLRequired: Translation(_UPSTREAM, "There was no URL to call.", may_be_sent=False),
        curl_exceptions.TooManyRedirects: Translation(
            _UPSTREAM, "The upstream redirects in circles.", may_be_sent=True
        ),
        curl_exceptions.MissingSchema: Translation(_UPSTREAM, "The upstream named an unusable URL.", may_be_sent=False),
        curl_exceptions.InvalidSchema: Translation(_UPSTREAM, "The upstream named an unusable URL.", may_be_sent=False),
        curl_exceptions.InvalidURL: Translation(_UPSTREAM, "The upstream named an unusable URL.", may_be_sent=False),
        curl_exceptions.InvalidHeader: Translation(_NETWORK, "A request header is unusable.", may_be_sent=False),
        curl_exceptions.InvalidProxyURL: Translation(_NETWORK, "The proxy's address is unusable.", may_be_sent=False),
        curl_exceptions.ChunkedEncodingError: Translation(
            _NETWORK, "The upstream's answer was damaged on its way.", may_be_sent=True
        ),
        curl_exceptions.ContentDecodingError: Translation(
            _NETWORK, "The upstream's answer was damaged on its way.", may_be_sent=True
        ),
        curl_exceptions.StreamConsumedError: Translation(
            _NETWORK, "The upstream's answer was read twice.", may_be_sent=True
        ),
        curl_exceptions.RetryError: Translation(_NETWORK, "The connection to the upstream failed.", may_be_sent=True),
        curl_exceptions.UnrewindableBodyError: Translation(
            _NETWORK, "The request could not be sent twice.", may_be_sent=True
        ),
        curl_exceptions.InterfaceError: Translation(
            _NETWORK, "The network interface cannot be used.", may_be_sent=False
        ),
    }
)

_PROXY = TRANSLATIONS[curl_exceptions.ProxyError]
_PROXY_ERRORS = (curl_exceptions.ProxyError, curl_exceptions.InvalidProxyURL)
_PROXY_CODES = frozenset({CurlECode.COULDNT_RESOLVE_PROXY, CurlECode.COULDNT_CONNECT, CurlECode.PROXY})
_OWN_ERRORS = (curl_exceptions.DNSError, curl_exceptions.CertificateVerifyError)


def failure_of(error: CurlError, *, paid: bool, over_proxy: bool = False) -> UpstreamFailure:
    """The failure that a curl error is; ``paid`` calls that may have been read carry ``may_have_been_accepted``."""
    row = next(TRANSLATIONS[kind] for kind in type(error).__mro__ if kind in TRANSLATIONS)
    if over_proxy and _is_of_proxy(error):
        return UpstreamFailure(
            FailureClass.PROXY,
            _PROXY.message,
            reason=f"curl_{int(error.code)}" if error.code else type(error).__name__,
            timed_out=row.timed_out,
        )
    return UpstreamFailure(
        row.failure_class,
        row.message,
        reason=f"curl_{int(error.code)}" if error.code else type(error).__name__,
        may_have_been_accepted=paid and row.may_be_sent and _may_be_read(error),
        timed_out=row.timed_out,
    )


def _is_of_proxy(error: CurlError) -> bool:
    """Whether a call over a proxy failed on the way through it."""
    if isinstance(error, _PROXY_ERRORS) or error.code in _PROXY_CODES:
        return True
    # socks5:// resolves the upstream's name here, and a certificate is refused here.
    return bool(error.code) and not isinstance(error, _OWN_ERRORS) and not _may_be_read(error)


def _may_be_read(error: CurlError) -> bool:
    """Whether libcurl came as far as sending; True when it does not say.

    ``request_size`` and ``upload_size`` stay 0 until the request itself goes out, through a proxy too (seen with
    libcurl of curl_cffi 0.16); a finished TLS handshake counts as sent, in case HTTP/2 counts differently.
    """
    response = getattr(error, "response", None)
    if response is None:
        return True
    tls_ready_after = response.infos.get(CurlInfo.APPCONNECT_TIME_T)
    return bool(response.request_size or response.upload_size or tls_ready_after)

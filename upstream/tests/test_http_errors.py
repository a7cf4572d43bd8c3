"""Every exception of curl_cffi has a translation."""

import inspect

import pytest
from curl_cffi import CurlError
from curl_cffi.requests import exceptions

from flow2api_upstream.http_errors import TRANSLATIONS, failure_of
from flow2api_upstream.port import FailureClass

ALL_EXCEPTIONS = [kind for _, kind in inspect.getmembers(exceptions, inspect.isclass) if issubclass(kind, CurlError)]
BEFORE_THE_REQUEST = [
    exceptions.DNSError,
    exceptions.ProxyError,
    exceptions.SSLError,
    exceptions.CertificateVerifyError,
    exceptions.ConnectTimeout,
    exceptions.InvalidURL,
    exceptions.SessionClosed,
]
AFTER_THE_REQUEST = [exceptions.Timeout, exceptions.ConnectionError, exceptions.IncompleteRead, exceptions.HTTPError]


@pytest.mark.parametrize("kind", ALL_EXCEPTIONS, ids=lambda kind: kind.__name__)
def test_exception_has_a_row_of_its_own(kind):
    assert kind in TRANSLATIONS


def test_table_has_no_row_for_what_curl_cffi_no_longer_has():
    assert set(TRANSLATIONS) == {*ALL_EXCEPTIONS, CurlError}


@pytest.mark.parametrize("kind", ALL_EXCEPTIONS, ids=lambda kind: kind.__name__)
def test_exception_becomes_a_failure_of_network_or_upstream(kind):
    failure = failure_of(_made(kind), paid=False)
    assert failure.failure_class in {FailureClass.NETWORK, FailureClass.UPSTREAM}
    assert not failure.may_have_been_accepted
    assert failure.message.endswith(".")


@pytest.mark.parametrize("kind", [exceptions.ProxyError, exceptions.InvalidProxyURL], ids=lambda kind: kind.__name__)
def test_exception_about_the_proxy_is_laid_to_it(kind):
    failure = failure_of(_made(kind), paid=True, over_proxy=True)
    assert failure.failure_class is FailureClass.PROXY
    assert not failure.may_have_been_accepted


@pytest.mark.parametrize("kind", BEFORE_THE_REQUEST, ids=lambda kind: kind.__name__)
def test_paid_call_that_failed_before_the_request_was_not_accepted(kind):
    assert not failure_of(_made(kind), paid=True).may_have_been_accepted


@pytest.mark.parametrize("kind", AFTER_THE_REQUEST, ids=lambda kind: kind.__name__)
def test_paid_call_that_failed_at_an_unknown_point_may_have_been_accepted(kind):
    assert failure_of(_made(kind), paid=True).may_have_been_accepted


def test_timeouts_are_marked():
    assert failure_of(_made(exceptions.Timeout), paid=False).timed_out
    assert failure_of(_made(exceptions.ConnectTimeout), paid=False).timed_out
    assert not failure_of(_made(exceptions.DNSError), paid=False).timed_out


def _made(kind):
    if kind is exceptions.JSONDecodeError:
        error = kind.__new__(kind)
        error.code, error.response = 0, None
        return error
    return kind("went wrong")

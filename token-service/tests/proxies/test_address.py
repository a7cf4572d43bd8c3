"""Which addresses of proxies are accepted, and what an error says about the others."""

from __future__ import annotations

import pytest

from flow2api_common.errors import InvalidArgument
from flow2api_token_service.proxies.address import proxy_address


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://proxy.example:8080", "http://proxy.example:8080"),
        ("  HTTPS://Proxy.Example:8443/ ", "https://proxy.example:8443"),
        ("socks5://user:pa%40ss@10.0.0.1:1080", "socks5://10.0.0.1:1080"),
        ("socks5h://user@[2001:DB8::1]:1080", "socks5h://[2001:db8::1]:1080"),
        ("http://:@proxy.example:80".replace(":@", "u:@"), "http://proxy.example:80"),
    ],
)
def test_address_is_shown_without_its_login(text, shown):
    assert proxy_address(text).shown == shown


def test_url_keeps_the_login_and_its_repr_does_not():
    address = proxy_address("socks5://user:hid%20den@10.0.0.1:1080/")
    assert address.url == "socks5://user:hid%20den@10.0.0.1:1080"
    assert address.has_credentials
    assert "hid" not in repr(address)


def test_same_proxy_in_other_letters_is_the_same():
    assert proxy_address("HTTP://u:P@HOST:1/") == proxy_address(" http://u:P@host:1")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "required"),
        ("   ", "required"),
        ("proxy.example:8080", "begins with"),
        ("ftp://proxy.example:21", "scheme"),
        ("socks4://proxy.example:1080", "scheme"),
        ("http://proxy.example", "port"),
        ("http://proxy.example:0", "port"),
        ("http://proxy.example:65536", "port"),
        ("http://proxy.example:port", "port"),
        ("http://:8080", "host"),
        ("http://[::1:8080", "host"),
        ("http://-bad-.example:8080", "host"),
        ("http://999.1.1.1:8080", "host"),
        ("http://user:p#ss@proxy.example:8080", "port"),
        ("http://user:secret@proxy.example:8080/path", "percent-encoded"),
        ("http://user:secret@proxy.example:8080?x=1", "percent-encoded"),
        ("http://:secret@proxy.example:8080", "login"),
        ("http://user:se%zzcret@proxy.example:8080", "login"),
        ("http://user:sec@ret@proxy.example:8080", "login"),
        ("http://user:sec ret@proxy.example:8080", "blank"),
        ("http://proxy.example:8080\nhttp://proxy.example:8081", "blank"),
        ("http://" + "a" * 3000 + ":80", "characters"),
    ],
)
def test_wrong_address_names_the_field_and_tells_no_secret(text, hint):
    with pytest.raises(InvalidArgument) as raised:
        proxy_address(text, field="proxy_url")
    (violation,) = raised.value.violations
    assert violation.field == "proxy_url"
    assert hint in violation.description
    assert "secret" not in f"{raised.value} {violation}"

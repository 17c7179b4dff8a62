from __future__ import annotations

import pytest

from service.upstream.origin import UnsafeAddress, check_address, parse_origin


@pytest.mark.parametrize(
    ("url", "authority", "prefix"),
    [
        ("https://api.openai.com/v1", "api.openai.com", "/v1"),
        ("https://api.openai.com/v1/", "api.openai.com", "/v1"),
        ("https://API.example.com:8443", "api.example.com:8443", ""),
        ("https://[2606:4700::1]/x", "[2606:4700::1]", "/x"),
        ("https://8.8.8.8", "8.8.8.8", ""),
    ],
)
def test_public_addresses(url: str, authority: str, prefix: str) -> None:
    origin = parse_origin(url)
    assert (origin.authority, origin.prefix, origin.tls) == (authority, prefix, True)


PRIVATE = [
    "http://127.0.0.1:8000/v1",
    "http://localhost:11434/v1",
    "http://10.1.2.3/",
    "https://192.168.1.1",
    "https://172.16.0.1",
    "https://100.64.0.1",
    "https://[::1]/",
    "https://[fd12::1]/",
    "https://[::ffff:10.0.0.1]/",
    "http://api.example.com/",
]


@pytest.mark.parametrize("url", PRIVATE)
def test_private_and_plain_upstreams_need_the_flag(url: str) -> None:
    with pytest.raises(ValueError, match="allow_private"):
        parse_origin(url)
    parse_origin(url, allow_private=True)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://169.254.170.2/",
        "http://169.254.1.1/",
        "http://100.100.100.200/",
        "http://[fd00:ec2::254]/",
        "http://[fe80::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://metadata.google.internal/",
        "http://metadata.google.internal./",
        "http://0.0.0.0/",
        "http://224.0.0.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://127.1/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://user:pass@example.com/",
        "https://example.com/?key=1",
        "https://example.com/#x",
        "https://exa mple.com/",
        "https://example.com:99999/",
        "https:///v1",
        "https://bücher.example/",
        "",
    ],
)
def test_what_no_flag_allows(url: str) -> None:
    with pytest.raises(ValueError):
        parse_origin(url, allow_private=True)


def test_an_error_never_shows_a_password() -> None:
    with pytest.raises(ValueError) as caught:
        parse_origin("https://user:hunter2@example.com/")
    assert "hunter2" not in str(caught.value)


def test_a_name_that_resolves_inside_is_refused_when_it_is_connected_to() -> None:
    with pytest.raises(UnsafeAddress):
        check_address("127.0.0.1", allow_private=False)
    with pytest.raises(UnsafeAddress):
        check_address("169.254.169.254", allow_private=True)
    check_address("127.0.0.1", allow_private=True)

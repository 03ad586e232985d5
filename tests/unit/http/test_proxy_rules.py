"""Which proxy leads where, from the environment's variables."""

import pytest

from portico.http.proxies import Proxies, Proxy, from_environment

AWAY = ("https", "api.example.com", 443)


def _proxy(value: str) -> Proxy:
    found = from_environment({"https_proxy": value}).route(*AWAY)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("http://p", ("p", 8080, False)),
        ("http://p:3128", ("p", 3128, False)),
        ("p:3128", ("p", 3128, False)),
        ("https://p", ("p", 443, True)),
        ("http://[::1]:3128", ("::1", 3128, False)),
        ("http://p:3128/", ("p", 3128, False)),
    ],
)
def test_an_address_is_read(value: str, expected: tuple[str, int, bool]) -> None:
    found = _proxy(value)
    assert (found.host, found.port, found.tls, found.header) == (*expected, b"")


def test_credentials_become_a_header_and_are_never_shown() -> None:
    found = _proxy("http://user:p%40ss%3A@p:1")
    assert found.header == b"proxy-authorization: Basic dXNlcjpwQHNzOg==\r\n"
    for text in (repr(found), str(found), repr(Proxies(https=found))):
        assert "dXNl" not in text
        assert "user" not in text


@pytest.mark.parametrize("value", ["socks5://p:1", "http://", "http://p:port", "ftp://p",
                                   "http://user:SECRET@p:99999"])  # fmt: skip
def test_a_bad_address_names_the_variable_and_not_its_value(value: str) -> None:
    with pytest.raises(ValueError, match="HTTPS_PROXY") as caught:
        from_environment({"HTTPS_PROXY": value})
    assert "SECRET" not in str(caught.value)


def test_the_scheme_chooses_the_variable() -> None:
    found = from_environment({"HTTP_PROXY": "a:1", "HTTPS_PROXY": "b:2"})
    assert getattr(found.route("http", "x.test", 80), "host", None) == "a"
    assert getattr(found.route("https", "x.test", 443), "host", None) == "b"
    assert from_environment({"HTTP_PROXY": "a:1"}).route(*AWAY) is None


def test_lower_case_wins_and_all_proxy_fills_in() -> None:
    env = {"HTTPS_PROXY": "upper:1", "https_proxy": "lower:1", "ALL_PROXY": "all:1"}
    found = from_environment(env)
    assert getattr(found.route(*AWAY), "host", None) == "lower"
    assert getattr(found.route("http", "x.test", 80), "host", None) == "all"


def test_no_variables_mean_no_proxy() -> None:
    assert from_environment({}).route(*AWAY) is None
    assert from_environment({"HTTPS_PROXY": ""}).route(*AWAY) is None


@pytest.mark.parametrize(
    ("rule", "host", "port", "bypassed"),
    [
        ("*", "api.example.com", 443, True),
        ("example.com", "api.example.com", 443, True),
        ("example.com", "example.com", 443, True),
        (".example.com", "api.example.com", 443, True),
        ("*.example.com", "api.example.com", 443, True),
        ("EXAMPLE.com", "api.Example.COM", 443, True),
        ("ample.com", "api.example.com", 443, False),
        ("example.com", "example.com.evil.test", 443, False),
        ("api.example.com:443", "api.example.com", 443, True),
        ("api.example.com:8443", "api.example.com", 443, False),
        ("10.0.0.0/8", "10.1.2.3", 443, True),
        ("10.0.0.0/8", "11.1.2.3", 443, False),
        ("10.0.0.0/8", "ten.example.com", 443, False),
        ("10.1.2.3", "10.1.2.3", 443, True),
        ("2001:db8::1", "2001:db8::1", 443, True),
        ("2001:db8::/32", "2001:db8::1", 443, True),
        ("not/a/network", "10.1.2.3", 443, False),
        ("", "api.example.com", 443, False),
        (" , ,", "api.example.com", 443, False),
        ("other.test, example.com", "api.example.com", 443, True),
    ],
)
def test_no_proxy_lists_what_is_reached_directly(
    rule: str, host: str, port: int, bypassed: bool
) -> None:
    found = from_environment({"HTTPS_PROXY": "p:1", "NO_PROXY": rule})
    assert (found.route("https", host, port) is None) is bypassed


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "a.localhost", "127.0.0.1", "127.9.9.9",
                                  "::1", "[::1]"])  # fmt: skip
def test_this_machine_is_never_reached_through_a_proxy(host: str) -> None:
    assert from_environment({"HTTPS_PROXY": "p:1"}).route("https", host, 443) is None

"""What is stored of secrets, e-mails, addresses and environments."""

from __future__ import annotations

from typing import Any

import pytest

from buildkite_ci.privacy import Privacy, kind, redact

PLAIN, HASHED, OPEN = Privacy(), Privacy(key="k"), Privacy(frozenset({"emails", "ips", "env"}))

SECRETS = (
    "access_token",
    "accessToken",
    "agent_access_token",
    "api_token",
    "token",
    "client_secret",
    "password",
    "private_key",
    "privateKey",
    "api_key",
    "webhook_url",
    "webhookURL",
    "credentials",
    "authorization",
)
HARMLESS = (
    "step_key",
    "group_key",
    "key",
    "url",
    "build_url",
    "author",
    "github_workflow_access_tokens_enabled",
    "restrict_user_api_token_creation",
    "token_uuid",
)


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_go_wherever_they_are(name: str) -> None:
    assert kind(name) == "never"
    assert OPEN.scrub([{"a": {name: "s", "b": 1}}]) == [{"a": {"b": 1}}]


@pytest.mark.parametrize("name", HARMLESS)
def test_names_that_only_sound_secret_stay(name: str) -> None:
    assert PLAIN.scrub({name: "s"}) == {name: "s"}


def test_an_email_keeps_its_domain_or_joins_by_hash_or_is_shown() -> None:
    assert PLAIN.email("ada@example.com") == "…@example.com"
    assert OPEN.email("ada@example.com") == "ada@example.com"
    hashed = HASHED.email("Ada@example.com")
    assert hashed == HASHED.email("ada@example.com") != Privacy(key="other").email("ada@example.com")
    assert hashed.endswith("@example.com")
    assert "ada" not in hashed.lower().removesuffix("@example.com")
    assert (PLAIN.email("nobody"), PLAIN.email("")) == ("…", "")


def test_an_address_keeps_its_network_or_joins_by_hash_or_is_shown() -> None:
    assert PLAIN.ip("192.0.2.13") == "192.0.2.0/24"
    assert PLAIN.ip("2001:db8:1:2::3") == "2001:db8:1::/48"
    assert (PLAIN.ip("some.server"), PLAIN.ip("")) == ("…", "")
    assert OPEN.ip("192.0.2.13") == "192.0.2.13"
    assert HASHED.ip("192.0.2.13") == HASHED.ip("192.0.2.13") != HASHED.ip("192.0.2.14")


@pytest.mark.parametrize("env", [{"A": "1", "B": ""}, ["A=1", "B="], "A=1\nB="])
def test_an_environment_keeps_its_names(env: Any) -> None:
    assert PLAIN.env(env) == {"A": None, "B": None}
    assert HASHED.env(env) == HASHED.env({"A": "1", "B": ""})
    assert "1" not in HASHED.env(env).values()
    assert OPEN.env(env) == env


@pytest.mark.parametrize("env", [5, True, None, 1.5])
def test_an_environment_that_is_none_keeps_nothing(env: Any) -> None:
    assert PLAIN.env(env) is None
    assert PLAIN.env(["a line of a secret"]) == {}


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://me:pass@example.com/a.git", "https://example.com/a.git"),
        ("git@example.com:a/b.git", "git@example.com:a/b.git"),
        ("https://example.com/a?X-Amz-Signature=s&b=1", "https://example.com/a?X-Amz-Signature=[redacted]&b=1"),
        ("https://example.com/?api_key=s#x", "https://example.com/?api_key=[redacted]#x"),
        ("https://example.com/?page=2", "https://example.com/?page=2"),
    ],
)
def test_a_url_tells_no_password_and_no_signature(url: str, kept: str) -> None:
    assert OPEN.url(url) == kept
    assert OPEN.scrub({"a": [url]}) == {"a": [kept]}


def test_json_is_masked_by_the_names_in_it() -> None:
    told = {"email": "ada@example.com", "emails": ["bob@example.com"], "request_ip": "192.0.2.13", "env": {"A": "1"}}
    assert PLAIN.scrub({"context": told}) == {
        "context": {
            "email": "…@example.com",
            "emails": ["…@example.com"],
            "request_ip": "192.0.2.0/24",
            "env": {"A": None},
        }
    }
    assert OPEN.scrub(told) == told
    assert PLAIN.scrub({"email": {"to": "ada@example.com", "token": "s", "count": 1}}) == {
        "email": {"to": "…@example.com", "count": 1}
    }


def test_half_a_character_can_be_hashed() -> None:
    assert HASHED.email("a\ud800@example.com").endswith("@example.com")


def test_a_log_line_tells_no_token() -> None:
    line = redact("GET https://me:pw@host/?api_key=abc Bearer xyz bkua_0123456789abcdef")
    assert all(secret not in line for secret in ("me:pw", "abc", "xyz", "0123456789"))

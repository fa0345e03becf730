"""What is not stored unless it was asked for: secrets never, e-mails, addresses and env values only by choice.

The list is api.md 8.3's. By default an e-mail keeps its domain (`…@example.com`), an IP address its network
(`192.0.2.0/24`) and an environment its names. With `key`, the lost part is a keyed hash instead, so that equal
values still join but cannot be looked up; a name in `show` ("emails", "ips", "env") is stored as it came.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SHOWABLE = ("emails", "ips", "env")

NEVER = re.compile(
    r"(?:^|_)(?:access_?token|api_?token|token|secret|password|private_?key|webhook_?url|credentials?)$", re.IGNORECASE
)
"""Keys whose values are dropped wherever they turn up, also in `more` (api.md 8.3)."""

USERINFO = re.compile(r"(?<=://)[^/@\s]+@")
IN_TEXT = re.compile(
    r"\bbk[a-z]{2}_[A-Za-z0-9_\-]{8,}"
    r"|(?<=Bearer )\S+"
    r"|(?<=://)[^/@\s]+(?=@)"
    r"|(?i:(?:X-Amz-[\w-]+|sig|signature|token|api_key|access_token)=)[^&\s\"']+"
)


def redact(text: str) -> str:
    """`text` as a log or an error may show it: tokens, signed parameters and URL passwords blotted out."""
    return IN_TEXT.sub("[redacted]", text)


@dataclass(frozen=True)
class Privacy:
    """A choice of what may be stored: `show` names it, `key` hashes the rest."""

    show: frozenset[str] = frozenset()
    key: str = ""

    def _hash(self, value: str) -> str:
        return hmac.new(self.key.encode(), value.encode(), "sha256").hexdigest()[:16] if self.key else ""

    def email(self, value: str) -> str:
        if "emails" in self.show:
            return value
        _, at, domain = value.rpartition("@")
        return (self._hash(value.lower()) or "…") + at + domain if at else self._hash(value) or "…"

    def ip(self, value: str) -> str:
        if "ips" in self.show:
            return value
        if self.key:
            return self._hash(value)
        try:
            address = ipaddress.ip_address(value)
        except ValueError:
            return "…"
        return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False))

    def env(self, value: Any) -> Any:
        """`{name: value}` with its values hashed, or null without a key; a list of `name=value` becomes a map."""
        if isinstance(value, list):
            value = dict(str(pair).split("=", 1) if "=" in str(pair) else (str(pair), "") for pair in value)
        if "env" in self.show or not isinstance(value, Mapping):
            return value
        return {name: self._hash(str(kept)) or None for name, kept in value.items()}

    def url(self, value: str) -> str:
        """A URL without the user and password that may stand before its host."""
        return USERINFO.sub("", value)

    def scrub(self, value: Any) -> Any:
        """Any JSON value without the keys of NEVER, and with its e-mails, addresses and env treated as above."""
        if isinstance(value, Mapping):
            return {key: self._by_name(key, kept) for key, kept in value.items() if not NEVER.search(key)}
        if isinstance(value, list):
            return [self.scrub(kept) for kept in value]
        return self.url(value) if isinstance(value, str) else value

    def _by_name(self, name: str, value: Any) -> Any:
        if name == "env":
            return self.env(value)
        if isinstance(value, str) and value:
            if name == "email" or name.endswith("_email"):
                return self.email(value)
            if name.endswith("ip_address") or name.endswith("request_ip"):
                return self.ip(value)
        return self.scrub(value)

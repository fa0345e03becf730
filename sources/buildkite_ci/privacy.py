"""What is not stored unless it was asked for: secrets never, e-mails, addresses and env values only by choice.

The list is api.md 8.3's. By default an e-mail keeps its domain (`…@example.com`), an IP address its network
(`192.0.2.0/24`) and an environment its names. With `key`, the lost part is a keyed hash instead, so that equal
values still join but cannot be looked up; a name in `show` ("emails", "ips", "env", or "env:NAME" for one variable) is
stored as it came. "secrets" leaves what looks like one in job logs.

Text that people write is stored as it is: a message, a command or a build's meta-data may still name somebody.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

SHOWABLE = ("emails", "ips", "env", "secrets")

NEVER = re.compile(
    r"(?:token|secret|password|passphrase|(?:private|api|access|signing|secret)[_-]?key|webhook_?url|credentials?)$"
    r"|^authorization$",
    re.IGNORECASE,
)
"""Keys whose values are dropped wherever they turn up, also in `more` (api.md 8.3), in either spelling."""

EMAIL = re.compile(r"(?:^|_)emails?$", re.IGNORECASE)
IP = re.compile(r"(?:^|_)(?:ip|ip_address|request_ip)$", re.IGNORECASE)
ENV = re.compile(r"(?:^|_)env$", re.IGNORECASE)


@lru_cache(maxsize=4096)
def kind(name: str) -> str:
    """What a key's name says of its value: "never", "env", "email", "ip", or nothing."""
    kinds = {"never": NEVER, "env": ENV, "email": EMAIL, "ip": IP}
    return next((kind for kind, pattern in kinds.items() if pattern.search(name)), "")


USERINFO = re.compile(r"(?<=://)(?!git@)[^/@\s]+@")
"""Who logs in, and the password; `git@` is everybody's."""

SIGNED = re.compile(r"(?i)(?<=[?&])((?:X-Amz-[\w-]+|sig|signature|token|api_key|access_token)=)[^&\s\"'#]+")
IN_TEXT = re.compile(
    r"\bbk[a-z]{2}_[A-Za-z0-9_\-]{8,}"
    r"|(?<=Bearer )\S+"
    r"|(?<=://)[^/@\s]+(?=@)"
    r"|(?i:(?:X-Amz-[\w-]+|sig|signature|token|api_key|access_token)=)[^&\s\"']+"
)


def redact(text: str) -> str:
    """`text` as a log or an error may show it: tokens, signed parameters and URL passwords blotted out."""
    return IN_TEXT.sub("[redacted]", text)


@lru_cache(maxsize=4096)
def _network(value: str) -> str:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return "…"
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False))


@dataclass(frozen=True)
class Privacy:
    """A choice of what may be stored: `show` names it, `key` hashes the rest."""

    show: frozenset[str] = frozenset()
    key: str = ""

    def _hash(self, value: str) -> str:
        if not self.key:
            return ""
        return hmac.new(self.key.encode(), value.encode("utf-8", "replace"), "sha256").hexdigest()[:16]

    def email(self, value: str) -> str:
        """The domain of an e-mail, after a hash of the whole if there is a key."""
        if "emails" in self.show or not value:
            return value
        _, at, domain = value.rpartition("@")
        return (self._hash(value.lower()) or "…") + at + domain if at else self._hash(value) or "…"

    def ip(self, value: str) -> str:
        """The network of an address (/24, or /48 for IPv6), or its hash; `…` for what is no address."""
        if "ips" in self.show or not value:
            return value
        return self._hash(value) if self.key else _network(value)

    def env(self, value: Any) -> Any:
        """`{name: value}` with its values hashed, or null without a key; `name=value` lines become a map.

        Anything else has no names to keep: null.
        """
        if "env" in self.show:
            return value
        if isinstance(value, str):
            value = value.splitlines()
        if isinstance(value, list):
            value = dict(pair.partition("=")[::2] for pair in value if isinstance(pair, str) and "=" in pair)
        if not isinstance(value, Mapping):
            return None
        return {name: self.variable(name, str(kept)) for name, kept in value.items()}

    def variable(self, name: str, value: str) -> str | None:
        """The value of one variable: its hash, or null without a key, unless its name is shown."""
        shown = "env" in self.show or f"env:{name}" in self.show
        return value if shown else self._hash(value) or None

    def url(self, value: str) -> str:
        """A URL without who logs in (but `git@`), without password and without signed parameters."""
        value = USERINFO.sub("", value) if "@" in value else value
        return SIGNED.sub(r"\1[redacted]", value) if "=" in value else value

    def scrub(self, value: Any) -> Any:
        """Any JSON value without the keys of NEVER, and with its e-mails, addresses and env treated as above."""
        if isinstance(value, Mapping):
            return {key: self._by_name(key, kept) for key, kept in value.items() if kind(key) != "never"}
        if isinstance(value, list):
            return [self.scrub(kept) for kept in value]
        return self.url(value) if isinstance(value, str) else value

    def _by_name(self, name: str, value: Any) -> Any:
        match kind(name):
            case "env":
                return self.env(value)
            case "email":
                return self._each(self.email, value)
            case "ip":
                return self._each(self.ip, value)
        return self.scrub(value)

    def _each(self, mask: Callable[[str], str], value: Any) -> Any:
        """`value` with every text in it masked."""
        if isinstance(value, Mapping):
            return {key: self._each(mask, kept) for key, kept in value.items() if kind(key) != "never"}
        if isinstance(value, list):
            return [self._each(mask, kept) for kept in value]
        return mask(value) if isinstance(value, str) else value

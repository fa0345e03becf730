"""Single sign-on providers, and every version of their settings that a load has seen.

For administrators only. Certificates and metadata are never asked for.
"""

from collections.abc import Iterator

from ..table import GraphQL, Item, Table, col, user

WORDS = ("type", "state", "digest_method", "signature_method")


def rows(provider: Item) -> Iterator[Item]:
    """The provider with its enums in small letters, as everywhere."""
    said = {name: provider[name] for name in WORDS if isinstance(provider.get(name), str)}
    yield {**provider, **{name: word.lower() for name, word in said.items()}}


TABLE = Table(
    grain="one row per provider and version of its settings",
    fetch=GraphQL(named=True, admin=True),
    rows=rows,
    key=("id",),
    scope="graphql",
    load="scd2",
    columns=(
        col("id", "text", "Provider UUID."),
        col("graphql_id", "text", "GraphQL id."),
        col("organization_slug", "text", "The organization."),
        col("type", "text", "saml, github_app or google_gsuite."),
        col("state", "text", "created, enabled or disabled."),
        col("url", "url", "Where one signs in."),
        col("note", "text", "What people are told when they sign in."),
        col("email_domain", "text", "Domain of the addresses that are offered it."),
        col("email_domain_verification_address", "email", "Address by which the domain was shown to be theirs."),
        col("email_domain_verified_at", "timestamp", "When it was."),
        col("pin_session_to_ip_address", "bool", "Whether another address has to sign in again.", "pin_session"),
        col("session_duration_in_hours", "bigint", "Hours after which one has to sign in again; null for never."),
        col("test_authorization_required", "bool", "Whether it has to be tried before it can be enabled."),
        col("created_at", "timestamp", "When it was made."),
        *user("created_by", "Who made it")[:4],
        col("enabled_at", "timestamp", "When it was enabled."),
        *user("enabled_by", "Who enabled it")[:4],
        col("disabled_at", "timestamp", "When it was disabled."),
        *user("disabled_by", "Who disabled it")[:4],
        col("disabled_reason", "text", "Why it was disabled."),
        col("digest_method", "text", "SAML: sha1, sha256, sha384 or sha512."),
        col("signature_method", "text", "SAML: rsa_sha1, rsa_sha256, rsa_sha384 or rsa_sha512."),
        col("identity_provider_name", "text", "SAML: who knows the people.", "identity_provider.name"),
        col("identity_provider_issuer", "text", "SAML: how it calls itself.", "identity_provider.issuer"),
        col("identity_provider_sso_url", "url", "SAML: where it signs people in.", "identity_provider.sso_url"),
        col("service_provider_issuer", "text", "SAML: how Buildkite calls itself.", "service_provider.issuer"),
        col("service_provider_sso_url", "url", "SAML: where Buildkite takes the answer.", "service_provider.sso_url"),
        col("github_organization_name", "text", "GitHub: organization that one must be in."),
        col("google_hosted_domain", "text", "Google: domain that one must be of."),
        col("disclose_google_hosted_domain", "bool", "Google: whether the domain is shown when one signs in."),
    ),
)

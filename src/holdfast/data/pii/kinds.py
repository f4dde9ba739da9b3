"""The kinds of personal data and secrets, in groups, and which of them are looked for where nothing else is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

NATIONAL_IDS = (
    "be_nrn", "br_cpf", "ca_sin", "ch_ahv", "cn_id", "de_tax_id", "es_dni", "fi_hetu", "fr_nir", "in_aadhaar",
    "ir_melli", "it_codice_fiscale", "nl_bsn", "pl_pesel", "se_personnummer", "tr_kimlik", "uk_nhs", "uk_nino",
    "us_ssn",
)  # fmt: skip
SECRETS = (
    "aws_key", "azure_key", "gcp_key", "github_token", "gitlab_token", "jwt", "openai_key", "password", "private_key",
    "service_token", "slack_token", "stripe_key", "url_login",
)  # fmt: skip

GROUPS: dict[str, tuple[str, ...]] = {
    "contact": ("address", "email", "phone"),
    "payment": ("card", "iban"),
    "person": ("birth_date", "driver_licence", "passport", "person"),
    "national_id": NATIONAL_IDS,
    "network": ("ip", "mac"),
    "secret": SECRETS,
    "indirect": ("age", "date", "nationality", "organisation", "place", "postcode", "title", "url"),
}
"""`indirect` are those that name nobody alone; they are looked for only where asked for."""

KINDS: tuple[str, ...] = tuple(sorted({kind for group in GROUPS.values() for kind in group}))
DEFAULT_GROUPS: tuple[str, ...] = ("contact", "payment", "person", "national_id", "network", "secret")


def expand(names: Iterable[str]) -> frozenset[str]:
    """Returns the kinds that names of kinds and of groups stand for; raises ConfigError for an unknown name.

    >>> sorted(expand(["payment", "email"]))
    ['card', 'email', 'iban']
    """
    found: set[str] = set()
    for name in names:
        if name not in GROUPS and name not in KINDS:
            raise ConfigError(
                f"kinds: {name!r} is not known. Choose groups ({', '.join(GROUPS)}) or kinds ({', '.join(KINDS)}).",
                param="kinds",
            )
        found.update(GROUPS.get(name, (name,)))
    return frozenset(found)

"""Addresses in certificates: checked when they are configured, filled in when an issuer is prepared. Pure."""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from ca.records import ClusterConfig, Urls
from ca.x509.extensions import AuthorityUrls
from chancery.kit.errors import BadInput, Problem

_TEMPLATE: Final = re.compile(r"\{\{\s*([^{}\s]*)\s*\}\}")
_KNOWN: Final = ("issuer_id", "cluster_path", "cluster_aia_path")
URL_FIELDS: Final = (
    "issuing_certificates",
    "crl_distribution_points",
    "delta_crl_distribution_points",
    "ocsp_servers",
)


class UrlsIncomplete(BadInput):
    """A template needs what is not configured."""


def check_urls(urls: Urls) -> None:
    """Raise BadInput with every address that is none, or whose template cannot be understood."""
    problems = [
        Problem(field, f"invalid URL found in Authority Information Access (AIA) parameter {field}: {text[:255]}")
        for field in URL_FIELDS
        for text in getattr(urls, field)
        if not _is_usable(text, templated=urls.templated)
    ]
    if problems:
        raise BadInput("; ".join(problem.reason for problem in problems), problems=problems)


def is_url(text: str) -> bool:
    """Tell whether the text is an absolute address with scheme and host, in ASCII."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return (
        bool(parts.scheme and (parts.netloc or parts.scheme == "ldap"))
        and re.fullmatch(r"[\x21-\x7e]+", text) is not None
    )


def _is_usable(text: str, *, templated: bool) -> bool:
    if not templated:
        return is_url(text)
    names = _TEMPLATE.findall(text)
    if any(name not in _KNOWN for name in names) or "{{" in _TEMPLATE.sub("", text):
        return False
    sample = "http://host" if text.startswith("{{") else "x"
    return is_url(_TEMPLATE.sub("x", _TEMPLATE.sub(sample, text, count=1)))


def fill_in(urls: Urls, cluster: ClusterConfig, issuer_id: str) -> AuthorityUrls:
    """Return the addresses for one issuer's certificates. Raises UrlsIncomplete when the cluster's path is unknown."""
    values = {"issuer_id": issuer_id, "cluster_path": cluster.path, "cluster_aia_path": cluster.aia_path}

    def filled(templates: Sequence[str]) -> tuple[str, ...]:
        return tuple(_fill_one(text, values) for text in templates) if urls.templated else tuple(templates)

    return AuthorityUrls(
        issuing_certificates=filled(urls.issuing_certificates),
        crl_distribution_points=filled(urls.crl_distribution_points),
        ocsp_servers=filled(urls.ocsp_servers),
        delta_crl_distribution_points=filled(urls.delta_crl_distribution_points),
    )


def _fill_one(template: str, values: dict[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        if not values[found[1]]:
            setting = found[1].removeprefix("cluster_")
            raise UrlsIncomplete(
                f"unable to template AIA URLs as we lack local cluster address information ({setting}); "
                "set it at config/cluster"
            )
        return values[found[1]]

    return _TEMPLATE.sub(value, template)

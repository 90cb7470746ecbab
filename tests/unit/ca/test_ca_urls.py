"""Addresses: what is one, and how templates are filled in."""

import pytest

from ca.records import ClusterConfig, Urls
from ca.urls import UrlsIncomplete, check_urls, fill_in, is_url
from chancery.kit.errors import BadInput


@pytest.mark.parametrize("text", ["http://a", "https://a.b/c?d", "http://[::1]:80/x", "ldap:///cn=x", "ldap://h/cn=x"])
def test_addresses(text: str) -> None:
    assert is_url(text)


@pytest.mark.parametrize(
    "text", ["", "foo", "http://", "//a", "http://a b", "http://\u00e9", "http://a:port", "http://[::1"]
)
def test_what_is_no_address(text: str) -> None:
    assert not is_url(text)


@pytest.mark.parametrize(
    "text", ["{{cluster_path}}/ca", "{{ cluster_aia_path }}/crl", "http://x/{{issuer_id}}/{{cluster_path}}", "http://x"]
)
def test_templates(text: str) -> None:
    check_urls(Urls(issuing_certificates=(text,), templated=True))


@pytest.mark.parametrize("text", ["{{nothing}}", "http://x/{{", "foo", "{{issuer_id", "http://x/{{issuer_id}}{{"])
def test_what_is_no_template(text: str) -> None:
    with pytest.raises(BadInput, match="invalid URL found in Authority Information Access"):
        check_urls(Urls(ocsp_servers=(text,), templated=True))


def test_a_template_is_nothing_special_unless_that_is_said() -> None:
    with pytest.raises(BadInput):
        check_urls(Urls(ocsp_servers=("{{cluster_path}}/x",)))


def test_every_wrong_address_is_named() -> None:
    with pytest.raises(BadInput) as caught:
        check_urls(Urls(ocsp_servers=("a", "http://b"), crl_distribution_points=("c",)))
    assert [problem.field for problem in caught.value.problems] == ["crl_distribution_points", "ocsp_servers"]


def test_filling_in() -> None:
    urls = Urls(
        issuing_certificates=("{{cluster_path}}/issuer/{{issuer_id}}/der",),
        crl_distribution_points=("{{cluster_aia_path}}/crl",),
        templated=True,
    )
    cluster = ClusterConfig(path="https://a/v1/pki", aia_path="http://b")
    filled = fill_in(urls, cluster, "id-1")
    assert filled.issuing_certificates == ("https://a/v1/pki/issuer/id-1/der",)
    assert filled.crl_distribution_points == ("http://b/crl",)
    with pytest.raises(UrlsIncomplete, match="config/cluster"):
        fill_in(urls, ClusterConfig(path="https://a"), "id-1")


def test_without_templating_the_text_stays() -> None:
    assert fill_in(Urls(ocsp_servers=("http://a/{{x}}",)), ClusterConfig(), "").ocsp_servers == ("http://a/{{x}}",)

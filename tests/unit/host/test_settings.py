"""The configuration file: defaults, and every problem reported at once."""

from pathlib import Path
from typing import Any

import pytest

from chancery.settings import SettingsError, load, parse

MINIMAL: dict[str, Any] = {
    "listeners": [{"address": "127.0.0.1:8200", "tls_disable": True}],
    "storage": {"url": "sqlite:////var/lib/chancery/chancery.db"},
}


def test_a_minimal_file_has_documented_defaults() -> None:
    settings = parse(MINIMAL, "test")
    assert settings.seal.type == "shamir"
    assert settings.workers == 1
    assert settings.limits.max_request_size == 32 * 1024 * 1024
    assert settings.default_lease_ttl == 768 * 3600
    assert settings.listeners[0].host == "127.0.0.1"
    assert settings.listeners[0].port == 8200
    assert settings.storage.url == "sqlite:////var/lib/chancery/chancery.db"
    assert settings.libraries() == ()


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    document = {
        "listeners": [{"address": "nowhere", "tls_disable": True}, {"address": "127.0.0.1:8200"}],
        "storage": {"url": "mysql://x"},
        "seal": {"type": "crystal"},
        "kms_libraries": [{"type": "pkcs11", "name": "hsm", "library": "relative.so"}],
        "log": {"level": "loud"},
        "colour": "blue",
    }
    with pytest.raises(SettingsError) as caught:
        parse(document, "c.yaml")
    text = str(caught.value)
    for name in ("listeners.0.address", "listeners.1", "storage.url", "seal.type", "library", "log.level", "colour"):
        assert name in text
    assert len(caught.value.problems) == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"workers": 0}, "workers"),
        ({"workers": 65}, "workers"),
        ({"storage": {"url": "sqlite:///:memory:"}}, "durable"),
        ({"listeners": []}, "listeners"),
        ({"listeners": [{"tls_disable": True, "tls_cert_file": "/x"}]}, "contradicts"),
        ({"listeners": [{"tls_cert_file": "/none.pem", "tls_key_file": "/none.key"}]}, "no such file"),
        ({"default_lease_ttl": "20h", "max_lease_ttl": "10h"}, "greater"),
        ({"limits": {"max_request_size": 3}}, "max_request_size"),
        ({"limits": {"max_request_duration": "soon"}}, "duration"),
    ],
)
def test_wrong_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse(MINIMAL | change, "test")


def test_library_names_are_unique_without_case(tmp_path: Path) -> None:
    module = tmp_path / "module.so"
    module.touch()
    entries = [{"type": "pkcs11", "name": name, "library": str(module)} for name in ("HSM", "hsm")]
    with pytest.raises(SettingsError, match="hsm"):
        parse(MINIMAL | {"kms_libraries": entries}, "test")


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "listeners: [", "\x00"])
def test_files_that_are_no_map_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=r"c\.yaml"):
        load(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load(tmp_path / "none.yaml")

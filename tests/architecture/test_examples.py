"""Example configurations load, name every setting, and tell its true default."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from chancery.seal.settings import Seal
from chancery.settings import KmsLibrarySettings, Limits, Listener, Log, Settings, Storage, load
from tests.support.sources import ROOT, files

EXAMPLE = ROOT / "config" / "chancery.yaml"

NOT_THE_DEFAULT = {"tls_disable", "address", "environment"}
"""What an example cannot leave at its default, or what has one only to be replaced; the comment beside it says so."""


@pytest.mark.parametrize("path", files("config/*.yaml"), ids=str)
def test_example_configurations_load(path: Path) -> None:
    load(ROOT / path)


def test_every_setting_is_in_the_example() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    sections: tuple[type[BaseModel], ...] = (Settings, Listener, Storage, Seal, KmsLibrarySettings, Log, Limits)
    missing = [
        f"{model.__name__}.{name}" for model in sections for name in model.model_fields if f"{name}:" not in text
    ]
    assert not missing


def test_the_example_tells_the_defaults() -> None:
    example = load(EXAMPLE)
    wrong = [
        f"{name}: the example says {value!r}, the default is {default!r}"
        for section in _sections(example)
        for name, value, default in _with_defaults(section)
        if name not in NOT_THE_DEFAULT and value != default
    ]
    assert not wrong


def test_the_example_is_written_out() -> None:
    """A default that is only implied by its absence would pass the tests above."""
    document = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    assert set(document) == set(Settings.model_fields)
    assert set(document["limits"]) == set(Limits.model_fields)
    assert set(document["log"]) == set(Log.model_fields)
    assert set(document["kms_libraries"][0]) == set(KmsLibrarySettings.model_fields)


def _sections(settings: Settings) -> Iterator[BaseModel]:
    yield from (settings.listeners[0], settings.storage, settings.seal, settings.log, settings.limits)
    yield from settings.kms_libraries
    yield settings


def _with_defaults(section: BaseModel) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, value and default of each plain setting that has a default."""
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if field.default is not PydanticUndefined and not isinstance(value, BaseModel | list):
            yield name, value, field.default

"""Auth methods are found by name and loaded late; one with tables must have declared them."""

import pytest

from chancery.plugins import Catalog, Declared


def test_every_installed_method_loads_under_its_own_name() -> None:
    methods = Catalog.installed().auth_methods
    assert "approle" in methods
    assert {name: methods[name].name for name in methods} == {name: name for name in methods}


def test_a_method_with_tables_that_are_not_declared_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"chancery\.schemas"):
        Declared("chancery.auth_methods", ())["approle"]

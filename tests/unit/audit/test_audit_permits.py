"""What devices that come through the API may reach."""

from pathlib import Path

import pytest

from chancery.audit.devices.file import FILE
from chancery.audit.options import common_options
from chancery.audit.permits import FreePermits, ListedPermits
from chancery.kit.errors import BadInput


def test_nothing_is_permitted_by_default(tmp_path: Path) -> None:
    permits = ListedPermits([], [])
    with pytest.raises(BadInput, match=r"audit\.directories lists nothing"):
        permits.file(str(tmp_path / "audit.log"))
    with pytest.raises(BadInput, match=r"audit\.addresses lists nothing"):
        permits.address("127.0.0.1:514")


def test_listed_directories_and_what_is_below_them(tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    (allowed / "below").mkdir(parents=True)
    permits = ListedPermits([allowed], ["127.0.0.1:514"])
    assert permits.file(f"{allowed}/audit.log") == allowed / "audit.log"
    assert permits.file(f"{allowed}/below/audit.log") == allowed / "below" / "audit.log"
    assert permits.address("127.0.0.1:514") == "127.0.0.1:514"


@pytest.mark.parametrize(
    "path",
    ["{0}/elsewhere/x", "{0}/allowed/../elsewhere/x", "{0}/allowedx/x", "{0}/allowed/link/x", "allowed/x", "", "/x\n"],
)
def test_ways_out_are_closed(tmp_path: Path, path: str) -> None:
    for name in ("allowed", "elsewhere", "allowedx"):
        (tmp_path / name).mkdir()
    (tmp_path / "allowed" / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match="file_path"):
        ListedPermits([tmp_path / "allowed"], []).file(path.format(tmp_path))


def test_the_configuration_file_may_name_anything(tmp_path: Path) -> None:
    assert FreePermits().file(str(tmp_path / "x")) == tmp_path / "x"
    assert FreePermits().address("logs:514") == "logs:514"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "jsonx"}, 'unknown format type "jsonx"'),
        ({"log_raw": "maybe"}, "log_raw"),
        ({"prefix": "a\nb"}, "prefix"),
        ({"prefix": "{"}, "prefix"),
        ({"prefix": "x" * 129}, "prefix"),
        ({"hmac_acessor": "false"}, r"options\.hmac_acessor: a file device has no such option, but elide"),
    ],
)
def test_wrong_common_options(options: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        common_options(options, FILE)


def test_common_options_are_lenient_as_vault_is() -> None:
    options = common_options(
        {"log_raw": "true", "hmac_accessor": "0", "elide_list_responses": "1", "mode": "0640"}, FILE
    )
    assert options.log_raw
    assert not options.hmac_accessor
    assert options.elide_list_responses

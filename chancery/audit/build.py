"""The audit of a host, put together from settings and installed device types."""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import cast

from chancery.audit.chain import ProcessChain
from chancery.audit.options import common_options
from chancery.audit.permits import FreePermits
from chancery.audit.records import Shown
from chancery.audit.service import AUDIT, AuditService
from chancery.kit.audit import AuditDeviceType, DeviceContext, ShowsInAudit
from chancery.kit.clock import Clock
from chancery.kit.errors import BadInput
from chancery.kit.metrics import Meter
from chancery.kit.storage import Documents
from chancery.settings import Audit, SettingsError

__all__ = ["AUDIT", "build_audit", "installed_types"]


def build_audit(
    settings: Audit, engines: Mapping[str, object], documents: Documents, clock: Clock, meter: Meter
) -> AuditService:
    """Build the audit of a host. Raises SettingsError that names every declared device which cannot be."""
    types = installed_types()
    _check(settings, types, clock)
    shown: Shown = {name: kind.audit_clear for name, kind in engines.items() if isinstance(kind, ShowsInAudit)}
    return AuditService(settings, types, shown, documents, clock, meter)


@cache
def installed_types() -> Mapping[str, AuditDeviceType]:
    """Load every device type, by name."""
    types = [cast(AuditDeviceType, point.load()) for point in entry_points(group="chancery.audit_devices")]
    return {kind.name: kind for kind in types}


def _check(settings: Audit, types: Mapping[str, AuditDeviceType], clock: Clock) -> None:
    problems = []
    for number, declared in enumerate(settings.devices):
        kind = types.get(declared.type)
        if kind is None:
            problems.append(f"audit.devices.{number}.type: no such type; installed: {', '.join(sorted(types))}")
            continue
        try:
            common_options(declared.options, kind)
            kind.open(DeviceContext("", declared.options, b"", ProcessChain(), FreePermits(), clock.now))
        except BadInput as error:
            problems += [f"audit.devices.{number}.{problem}" for problem in error.problems]
    paths = [(declared.path or declared.type).strip("/") for declared in settings.devices]
    problems += [
        f"audit.devices: two devices have the path {path}" for path in sorted(set(paths)) if paths.count(path) > 1
    ]
    if problems:
        raise SettingsError(problems)

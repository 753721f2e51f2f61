"""The faults of the stack by their names."""

from __future__ import annotations

from pytest_l402.harness.fault_names import FaultNameError, FaultNames
from pytest_l402.harness.faults import Fault
from pytest_l402.stack import faults

__all__ = ["FAULTS", "FaultNameError", "fault_named", "fault_of"]

FAULTS: dict[str, type[Fault]] = {
    name: kind
    for name, kind in sorted(vars(faults).items())
    if isinstance(kind, type) and issubclass(kind, Fault) and kind is not Fault
}
"""Every fault by its name."""

_NAMES = FaultNames(FAULTS)
fault_named, fault_of = _NAMES.fault_named, _NAMES.fault_of

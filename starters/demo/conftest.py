"""Plays the drill twice: as it is, and with a fault in its system. `pytest-l402 demo` says which one."""

import os
from contextlib import ExitStack

import pytest

FAULT = os.environ.get("L402_DEMO_FAULT")
CASE = os.environ.get("L402_DEMO_CASE", "")


def pytest_generate_tests(metafunc):
    if FAULT and "l402_demo_fault" in metafunc.fixturenames:
        metafunc.parametrize("l402_demo_fault", ["", FAULT], ids=["as it is", "with the fault"])


def pytest_collection_modifyitems(items):
    items[:] = [item for item in items if CASE in item.name]


@pytest.fixture
def l402_demo_fault():
    return ""


@pytest.fixture
def l402_stack(l402_demo_fault, l402_stack, l402_evidence, monkeypatch):
    from pytest_l402.stack.faults import FAULTS, fault_of

    with ExitStack() as injected:
        if l402_demo_fault.partition(":")[0] in FAULTS:
            injected.enter_context(l402_stack.faults.inject(fault_of(l402_demo_fault)))
        collect = l402_evidence.collect

        def collect_when_it_is_over(*args, **named):
            # Whoever judges judges what the fault has done; that it is gone again is a line of its own.
            injected.close()
            return collect(*args, **named)

        monkeypatch.setattr(l402_evidence, "collect", collect_when_it_is_over)
        yield l402_stack


@pytest.fixture
def l402_engine_faults(l402_demo_fault):
    from pytest_l402.workflow import EngineFault

    return [each for each in EngineFault if each == l402_demo_fault]


@pytest.fixture
def l402_billing_faults(l402_demo_fault):
    from pytest_l402.billing import BillingFault

    return [each for each in BillingFault if each == l402_demo_fault]

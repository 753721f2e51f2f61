"""`smoke:staging`: deploy over an earlier deployment and probe the gateway; what fails is rolled back."""

from __future__ import annotations

import argparse

from pytest_l402.commands.arguments import Arguments, add_deploy_arguments, add_shared_arguments
from pytest_l402.commands.outcome import Outcome
from pytest_l402.commands.reconcile import rolled_out
from pytest_l402.commands.runner import running
from pytest_l402.commands.targets import opened


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_shared_arguments(
        parser,
        "Deploy the paywalls over an earlier deployment, probe health, challenge and proxy, and roll back\n"
        "what does not pass. Live: compares what runs with what the control plane says and probes it;\n"
        "with --allow-live-changes it is a reconcile.",
    )
    add_deploy_arguments(parser)


def _work(arguments: Arguments) -> Outcome:
    with opened(arguments) as target:
        return rolled_out(arguments, "staging", target.staging())


run = running(_work)

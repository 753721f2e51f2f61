"""`smoke:staging`: deploy over an earlier deployment and probe the gateway; what fails is rolled back."""

from __future__ import annotations

import argparse

from pytest_l402.commands.options import Options, add_shared_arguments, read_options
from pytest_l402.commands.outcome import Outcome
from pytest_l402.commands.reconcile import Order, ReconcileJob, add_order_arguments, read_order, usable_state
from pytest_l402.commands.runner import carry_out

REQUEST_ID = "smoke:staging"
PREVIOUS_ID = "smoke:staging:previous"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_shared_arguments(
        parser,
        "Deploy the paywalls over an earlier deployment, probe health, challenge and proxy, and roll back\n"
        "what does not pass. Live: compares what runs with what the control plane says and probes it;\n"
        "with --allow-live-changes it is a reconcile.",
    )
    add_order_arguments(parser)


def run(given: argparse.Namespace) -> int:
    """Print the outcome and return the exit code."""
    return carry_out(given.command, lambda: _work(read_options(given), read_order(given)), as_json=given.json)


def _work(options: Options, order: Order) -> Outcome:
    if options.mode.is_live:
        from pytest_l402.commands.live_commands import staging_live

        return staging_live(options, order)
    from pytest_l402.commands.mock_stack import NEWS, WEATHER, injected, mock_stack, read_faults
    from pytest_l402.stack.shop import paywall_of

    faults = read_faults(options.faults)
    with usable_state(), mock_stack(WEATHER, ops_folder=order.state_dir) as stack:
        reconciler = stack.reconciler(wait_s=order.wait_s)
        previous = reconciler.reconcile(PREVIOUS_ID)
        news = paywall_of(NEWS)
        assert news is not None
        stack.control_plane.create_paywall(news)
        request_id = REQUEST_ID if order.request_id is None else order.request_id
        job = ReconcileJob(options, "staging", request_id, stack.tables)
        more = {"previousConfigHash": previous.config_hash}
        with injected(stack, faults):
            return job.run(
                lambda: reconciler.reconcile(request_id, image_digest=order.image_digest),
                stack.ops.deployments,
                more,
            )

"""`reconcile`: bring the gateway to what the control plane says, or put back what ran before."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from pytest_l402.commands.artifacts import ArtifactFolder
from pytest_l402.commands.bad_input import BadInput
from pytest_l402.commands.options import (
    Options,
    add_shared_arguments,
    check_folder,
    read_options,
    usable_path,
)
from pytest_l402.commands.outcome import Outcome
from pytest_l402.commands.runner import carry_out

if TYPE_CHECKING:
    from pytest_l402.ops.reconcile.ledger import DeploymentHistory
    from pytest_l402.ops.reconcile.summary import ReconcileSummary

NOT_DEPLOYED: Final = "not_deployed"
Tables: TypeAlias = Mapping[str, Sequence[Mapping[str, Any]]]

_ARTIFACTS = (("deployments", "deployments"), ("events", "gateway_events"), ("records", "records"))


class Order(NamedTuple):
    """What a reconcile is asked beyond the shared options; None is the default."""

    request_id: str | None
    image_digest: str | None
    state_dir: Path | None
    wait_s: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_shared_arguments(
        parser,
        "Compile the paywalls, deploy the configuration, probe health, challenge and proxy, and roll back\n"
        "or withdraw what does not pass. The same request id again returns the recorded outcome, or\n"
        "takes a run up that was cut off. Live: needs --allow-live-changes.",
    )
    add_order_arguments(parser)


def add_order_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what can be ordered of a reconcile."""
    parser.add_argument(
        "--request-id", metavar="ID", help="id of the run: 1 to 128 ASCII characters, no blanks"
    )
    parser.add_argument(
        "--image-digest", metavar="DIGEST", help="image the gateway has to run: sha256: and 64 hex digits"
    )
    parser.add_argument(
        "--state-dir",
        metavar="DIR",
        help="folder for the history of deployments and the lock "
        "(mock: in memory; live: <artifact dir>/lightning-ops/state)",
    )
    parser.add_argument(
        "--wait", metavar="SECONDS", type=_seconds, default=0.0, help="wait for another reconcile to end"
    )


def read_order(given: argparse.Namespace) -> Order:
    """Check what is ordered. Raises `BadInput`."""
    state_dir = usable_path("--state-dir", given.state_dir)
    if state_dir is not None:
        check_folder("--state-dir", state_dir)
    return Order(given.request_id, given.image_digest, state_dir, given.wait)


def run(given: argparse.Namespace) -> int:
    """Print the outcome and return the exit code."""
    return carry_out(given.command, lambda: _work(read_options(given), read_order(given)), as_json=given.json)


def _work(options: Options, order: Order) -> Outcome:
    if options.mode.is_live:
        from pytest_l402.commands.live_commands import reconcile_live

        return reconcile_live(options, order)
    from pytest_l402.commands.mock_stack import injected, mock_stack, read_faults

    faults = read_faults(options.faults)
    with usable_state(), mock_stack(ops_folder=order.state_dir) as stack, injected(stack, faults):
        at_ms = stack.clock.tick()
        request_id = f"reconcile:{at_ms}" if order.request_id is None else order.request_id
        job = ReconcileJob(options, "reconcile", request_id, stack.tables)
        reconciler = stack.reconciler(wait_s=order.wait_s)
        return job.run(
            lambda: reconciler.reconcile(request_id, image_digest=order.image_digest), stack.ops.deployments
        )


class ReconcileJob:
    """One reconcile as a command: it leaves its artifacts whichever way it ends, also when interrupted."""

    def __init__(self, options: Options, kind: str, request_id: str, tables: Callable[[], Tables]) -> None:
        self._mode = options.mode
        self._request_id = request_id
        self._tables = tables
        self._folder = ArtifactFolder(options.artifact_dir, kind, request_id)

    def run(
        self,
        work: Callable[[], ReconcileSummary],
        history: DeploymentHistory,
        more: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Do the work and return its outcome; `history` knows how it ended when it is cut off."""
        try:
            summary = work()
        except BaseException:
            intent = history.intent(self._request_id)
            if intent is not None and intent.outcome is not None:
                self.leave(intent.outcome, more)
            raise
        return self.leave(summary, more)

    def leave(self, summary: ReconcileSummary, more: Mapping[str, Any] | None = None) -> Outcome:
        """Write the artifacts and return the outcome."""
        tables = self._tables()
        for name, table in _ARTIFACTS:
            rows = [row for row in tables.get(table, ()) if row["requestId"] == self._request_id]
            self._folder.lines(f"{name}Path", f"{table}.jsonl", rows)
        row = summary.to_json()
        document = {"ok": row["ok"], "mode": self._mode.value, **row, **(more or {})}
        if not summary.ok:
            # A look that finds something else deployed has none of the codes of a reconcile.
            document.setdefault("failureCode", NOT_DEPLOYED)
        return Outcome(self._folder.summary(document), None if summary.ok else _reason(summary))


@contextmanager
def usable_state() -> Iterator[None]:
    """Tell as the commands do why a reconcile was not begun. Raises `BadInput`."""
    from pytest_l402.boundary import InputError
    from pytest_l402.ops.reconcile.ledger import LedgerError
    from pytest_l402.ops.reconcile.lock import ReconcileBusy
    from pytest_l402.ops.reconcile.reconciler import ReconcileRefused

    try:
        yield
    except ReconcileRefused as error:
        raise BadInput(str(error), "reconcile_refused") from None
    except (InputError, LedgerError) as error:
        raise BadInput(str(error), "state_unusable") from None
    except ReconcileBusy as error:
        raise BadInput(str(error), "reconcile_busy") from None


def _reason(summary: ReconcileSummary) -> str:
    original = f" after {summary.original_failure_code}" if summary.original_failure_code else ""
    parts = (summary.deployment_status.value, summary.failure_code, summary.failure_reason)
    return ": ".join(str(part) for part in parts if part is not None) + original


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 600:
        raise argparse.ArgumentTypeError(f"expected 0 to 600 seconds, saw {text[:40]!r}")
    return value

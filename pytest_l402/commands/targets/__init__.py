"""What a command works on: the stand-in stack, or a deployed system; each imported only when it is meant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pytest_l402.commands.arguments import Arguments
from pytest_l402.commands.bad_input import BadInput
from pytest_l402.commands.targets.target import FlowRun, Observed, Rollout, Rows, Target

__all__ = ["FlowRun", "Observed", "Rollout", "Rows", "Target", "opened"]


@contextmanager
def opened(arguments: Arguments) -> Iterator[Target]:
    """Open the target that the mode names; at the end of the block what was begun there is undone.

    Raises:
        BadInput: it cannot be used as asked; nothing of it was changed, or all of it undone.
        Failed: something was changed that could not be undone, or not be written down.
    """
    with _usable_state():
        if arguments.mode.is_live:
            from pytest_l402.commands.targets.live import live_target

            with live_target(arguments) as target:
                yield target
        else:
            from pytest_l402.commands.targets.stack import stack_target

            with stack_target(arguments) as target:
                yield target


@contextmanager
def _usable_state() -> Iterator[None]:
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

"""What a command works on: the stand-in stack, or a deployed system; each imported only when it is meant.

The two have the same methods, and a command is a function of either. A method that returns something to carry
out has checked that the target can be used, and may be changed, and has changed nothing yet: files of an
earlier run are removed in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from pytest_l402.commands.arguments import Arguments
from pytest_l402.commands.bad_input import BadInput
from pytest_l402.commands.targets.work import FlowRun, Observed, Rollout, Settled

if TYPE_CHECKING:
    from pytest_l402.commands.targets.live import LiveTarget
    from pytest_l402.commands.targets.stack import StackTarget

    Target: TypeAlias = StackTarget | LiveTarget

__all__ = ["FlowRun", "Observed", "Rollout", "Settled", "opened"]


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

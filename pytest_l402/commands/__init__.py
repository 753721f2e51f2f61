"""The operator's commands, named as the runbooks name them, each imported when it is asked for."""

from .bad_input import BadInput
from .command_line import COMMANDS
from .outcome import Outcome

__all__ = ["COMMANDS", "BadInput", "Outcome"]

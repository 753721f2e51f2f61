"""Which commands there are, and which module is imported for the one that is asked for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final, NamedTuple, NoReturn

from pytest_l402 import __version__
from pytest_l402.commands.arguments import (
    add_deploy_arguments,
    add_local_artifact_arguments,
    add_shared_arguments,
)
from pytest_l402.commands.bad_input import BadInput, plain
from pytest_l402.commands.modes import Mode
from pytest_l402.commands.outcome import UNUSABLE


class Command(NamedTuple):
    """One command: `module:function` of this room that carries it out, and what it does in a line.

    The function's docstring is the command's description, `options` adds what not every command takes. A
    module without a function has its own `add_arguments` and `run`.
    """

    work: str
    help: str
    options: Callable[[argparse.ArgumentParser], None] | None = None
    mode: Mode | None = None

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        """Add what the command takes, and what is to run."""
        name, _, function = self.work.partition(":")
        module: Any = import_module(f".{name}", __package__)
        if not function:
            module.add_arguments(parser)
            parser.set_defaults(run=module.run)
            return
        import inspect

        from pytest_l402.commands.runner import running

        work = getattr(module, function)
        add_shared_arguments(parser, inspect.getdoc(work) or "")
        if self.options is not None:
            self.options(parser)
        parser.set_defaults(run=running(work), fixed_mode=self.mode)


COMMANDS: Final = {
    "demo": Command("demo", "play one drill without a project: as it is, and with a fault in the system"),
    "init": Command("init", "write rehearsals to start with: for a client, a gateway, a system of your own"),
    "drill": Command(
        "drill", "a drill for people: name what failed from the records, and be judged and timed"
    ),
    "explain": Command("explain", "say what an id in a report means, and what to do"),
    "triage": Command("triage", "name the failing domain of each request in incident files"),
    "audit": Command("audit", "judge an export of any size by the rules of triage, in bounded memory"),
    "query": Command("query", "ask what an audit has kept as Parquet, in SQL"),
    "verify": Command("verify", "judge the kept evidence of a run again, and compare with its document"),
    "approve": Command("approve", "put your name to a run, by a signature of ssh-keygen"),
    "status": Command("status", "say in one word whether the last full run is signed off and still counts"),
    "compare": Command("compare", "say what changed from one run to another, and what is less than it was"),
    "lint": Command("lint", "say what Aperture does with its file that its operator did not mean"),
    "gateway": Command("gateway", "sell what a file of Aperture's says, as a process of its own"),
    "serve": Command("serve", "serve the stack on ports of this machine, as a deployed platform"),
    "reconcile": Command(
        "reconcile:reconcile", "bring the gateway to what the control plane says", add_deploy_arguments
    ),
    "reconcile:convex": Command(
        "reconcile:reconcile", "the same with --mode convex", add_deploy_arguments, Mode.CONVEX
    ),
    "smoke:compile": Command(
        "reconcile:compiled", "compile the paywalls to aperture.yaml and name it by its hash"
    ),
    "smoke:security": Command(
        "drills:security", "drill credentials, global pause, kill switch, credential roles"
    ),
    "smoke:settlement": Command("drills:settlement", "ingest payments, a replay and a contradiction"),
    "smoke:staging": Command(
        "reconcile:staging", "deploy over an earlier deployment and probe the gateway", add_deploy_arguments
    ),
    "smoke:observability": Command("drills:observability", "let every plane record, and check the records"),
    "smoke:full-flow": Command(
        "smoke_full_flow:full_flow", "run the hosted path from end to end", add_local_artifact_arguments
    ),
}
"""Every command by its name, those for people first.

Sources of the others: runbooks staging-reconcile, lightning-ops, observability.
"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose refusal is an exception, so that it can be told as JSON."""

    def error(self, message: str) -> NoReturn:
        """Raise `BadInput` with one line."""
        raise BadInput(f"{plain(message)}; see {self.prog} --help", "invalid_arguments")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what is asked of the command that the arguments name; its `run` takes that and returns a code.

    Raises:
        BadInput: no command, an unknown one, or arguments it does not take.
        SystemExit: `--help` or `--version` was answered, or the help of all commands shown, with code 2.
    """
    name = next((argument for argument in arguments if not argument.startswith("-")), None)
    if name is not None and name not in COMMANDS:
        import difflib

        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"the commands are {', '.join(COMMANDS)}"
        raise BadInput(f"unknown command {plain(repr(name[:60]))}; {hint}", "invalid_command")
    parser = Parser(
        prog="pytest-l402",
        description="Operate paid APIs by their runbooks. Rehearsals run with: pytest -m rehearsal",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"pytest-l402 {__version__}")
    group = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, dest="command")
    for key, command in COMMANDS.items():
        sub = group.add_parser(
            key,
            help=command.help,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        if key == name:
            command.prepare(sub)
            if ":" in command.work or key == "serve":
                arguments = _without_npm_dashes(arguments)
                if {"-h", "--help"} & {*arguments}:
                    # Only here, as the stack, which has the faults, takes long to import.
                    from pytest_l402.commands.faults import faults_help

                    sub.epilog = f"{faults_help(key)}\n\n{sub.epilog}"
    if not arguments:
        # Nothing was done, so it is no pass: in a script the name of the command was an empty variable.
        parser.print_help(sys.stderr)
        raise SystemExit(UNUSABLE)
    given, unknown = parser.parse_known_args(arguments)
    if unknown:
        seen = plain(" ".join(unknown)[:200])
        raise BadInput(f"unknown arguments {seen}; see pytest-l402 {name} --help", "invalid_arguments")
    return given


def _without_npm_dashes(arguments: Sequence[str]) -> Sequence[str]:
    """Leave out `--` before an option: runbook lightning-ops writes `smoke:compile -- --json`, for npm."""
    pairs = zip(arguments, (*arguments[1:], ""), strict=True)
    return [given for given, after in pairs if given != "--" or not after.startswith("--")]

"""Decides which options there are and which value wins: command line, environment, ini, default."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import pytest

from pytest_l402.plugin.settings import FACES, LIVE, MODES, ROLES_ON_SALE, SIGNERS, Settings

IniType = Literal["string", "bool", "args"]


class Option(NamedTuple):
    """One setting; `name` is what the ini file calls it, and its other names follow from that."""

    name: str
    ini_type: IniType
    help: str
    metavar: str | None = None

    @property
    def flag(self) -> str:
        """The command-line form, e.g. `--l402-seed`."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable, e.g. `PYTEST_L402_SEED`."""
        return "PYTEST_" + self.name.upper()


MODE: Final = Option(
    "l402_mode",
    "string",
    "What is rehearsed: mock (the stand-in stack, default) or live (what OA_LIGHTNING_OPS_* names)",
    "MODE",
)
ALLOW_LIVE_CHANGES: Final = Option(
    "l402_allow_live_changes",
    "bool",
    "In live mode: also rehearse what changes the deployed system; each change is announced and undone",
)
ARTIFACT_DIR: Final = Option(
    "l402_artifact_dir", "string", "Folder for evidence and sign-offs (default: output)", "DIR"
)
LOCAL_ARTIFACT: Final = Option(
    "l402_local_artifact",
    "string",
    "Historical local-node artifact to judge as reference-only evidence",
    "PATH",
)
ALLOW_MISSING: Final = Option(
    "l402_allow_missing_local_artifact",
    "bool",
    "Go on without a local-node artifact; the sign-off shows it as a waiver",
)
REQUIRED: Final = Option(
    "l402_required",
    "args",
    "Families that must sign off, comma-separated or repeated (default: all)",
    "FAMILY",
)
NO_TEETH: Final = Option(
    "l402_no_teeth", "bool", "Do not try the mutants of each check; such a run cannot sign off"
)
WAIVERS: Final = Option(
    "l402_waivers", "string", "YAML file of waivers, each with owner, reason and end date", "PATH"
)
SEED: Final = Option(
    "l402_seed", "string", "Seed of every id, key and proof of the stack (default: 402)", "N"
)
CLOCK: Final = Option(
    "l402_clock",
    "string",
    "Where the clock of the stack starts: now, or a time as 2026-12-01T00:00:00Z (default: in December 2024)",
    "TIME",
)
CATALOGUE: Final = Option(
    "l402_catalogue", "string", "What must be rehearsed (default: rehearsals/catalogue.yaml)", "PATH"
)

KEEP_PREVIOUS: Final = Option(
    "l402_keep_previous",
    "string",
    "How many of the earlier runs that were moved aside are kept (default: 10)",
    "N",
)
PROGRESS: Final = Option(
    "l402_progress",
    "string",
    "Tell of a rehearsal test that takes longer than so many seconds while it runs; 0: never (default: 10)",
    "SECONDS",
)
WORKFLOW_DATABASE: Final = Option(
    "l402_workflow_database",
    "string",
    "Where durable workflows are kept: sqlite (default), postgresql (a server from a wheel), or a URL",
    "WHERE",
)
WORKFLOW_TABLES: Final = Option(
    "l402_workflow_tables",
    "string",
    "Live mode: YAML file with the names of the tables of the database of deployed durable workflows",
    "PATH",
)
BILLING: Final = Option(
    "l402_billing",
    "string",
    "Live mode: YAML file with the URL of a deployed billing service and what it calls things",
    "PATH",
)
COUNT_CMD: Final = Option(
    "l402_count_cmd",
    "string",
    "Live mode: command that is given an id and prints how often its effect was had, by your own books",
    "CMD",
)
GATEWAY: Final = Option(
    "l402_gateway",
    "string",
    "What plays the gateway of the stack: aperture:PATH, a program that takes Aperture's file and flags "
    "(aperture alone: the one that the shell finds; default: the stand-in)",
    "aperture[:PATH]",
)
GATEWAY_INVOICES: Final = Option(
    "l402_gateway_invoices",
    "string",
    "How that program gets its invoices from the stack's node: lnd (default, extra [aperture]) or wavelength",
    "FACE",
)
APERTURE_CONFIG: Final = Option(
    "l402_aperture_config",
    "string",
    "Your own aperture.yaml, which is sold, in a copy, instead of the stack's own shop",
    "FILE",
)
SOLD: Final = Option(
    "l402_sold",
    "args",
    "Which resource of that file plays a role: premium, expensive, expiring or free, as premium=/path or "
    "premium=/path@21 with its price in sats (default: found by price and timeout)",
    "ROLE=PATH[@SATS]",
)

SIGN_KEY: Final = Option(
    "l402_sign_key",
    "string",
    "Private key, Ed25519 or P-256, that signs the run; its file must be its owner's alone (extra [sign])",
    "PATH",
)
SIGNER: Final = Option(
    "l402_signer",
    "string",
    "Whether whoever signs has a part in what is tested: party, outsider, or unstated (default)",
    "WHO",
)
COMPARE: Final = Option(
    "l402_compare",
    "string",
    "Run folder, or document, of an earlier run: whatever is less than it was fails this one",
    "PATH",
)
VALID_DAYS: Final = Option(
    "l402_valid_days", "string", "For how many days a sign-off may be relied on (default: 30)", "N"
)

OPTIONS: Final = (
    MODE,
    ALLOW_LIVE_CHANGES,
    ARTIFACT_DIR,
    LOCAL_ARTIFACT,
    ALLOW_MISSING,
    REQUIRED,
    NO_TEETH,
    WAIVERS,
    SEED,
    CLOCK,
    CATALOGUE,
    KEEP_PREVIOUS,
    PROGRESS,
    WORKFLOW_DATABASE,
    WORKFLOW_TABLES,
    BILLING,
    COUNT_CMD,
    GATEWAY,
    GATEWAY_INVOICES,
    APERTURE_CONFIG,
    SOLD,
    SIGN_KEY,
    SIGNER,
    VALID_DAYS,
    COMPARE,
)

LIST: Final = "--l402-list"
"""What shows something and runs nothing: it has no other form, as no file is to turn a run into that."""

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})
_SOLD: Final = re.compile(rf"(?:{'|'.join(ROLES_ON_SALE)})=(?:/|https://)[^\s@]*(?:@[1-9][0-9]{{0,10}})?")
_SEED_DIGITS: Final = 20
_KEPT_DIGITS: Final = 6
_MOST_DAYS: Final = 366


class _Given(NamedTuple):
    """A value as it was given, None if it was not: under which name, and where a relative path starts."""

    value: Any
    origin: str
    base: Path
    at_hand: bool


def add_options(parser: pytest.Parser) -> None:
    """Register every option on the command line and in the ini file."""
    group = parser.getgroup("l402", "rehearsals of L402 runbooks")
    group.addoption(
        LIST,
        action="store_true",
        dest="l402_list",
        help="Show each rehearsal, its lines and what is to prove them, and run nothing",
    )
    for option in OPTIONS:
        parser.addini(option.name, option.help, type=option.ini_type, default=None)
        shown = f"{option.help} [{option.variable}]"
        if option.ini_type == "bool":
            group.addoption(option.flag, action="store_true", dest=option.name, default=None, help=shown)
        else:
            action = "append" if option.ini_type == "args" else "store"
            group.addoption(
                option.flag, action=action, dest=option.name, default=None, metavar=option.metavar, help=shown
            )


def read_settings(config: pytest.Config, environ: Mapping[str, str] = os.environ) -> Settings:
    """Resolve every option once.

    Raises `pytest.UsageError` (exit code 4) with one line that names the option as it was given, what it may
    hold, and what it held. Nothing is created or opened for writing.
    """
    _refuse_paths_after_a_space(config)
    root = config.rootpath

    def given(option: Option) -> _Given:
        return _given(config, option, environ)

    mode = given(MODE)
    if mode.value not in (None, *MODES):
        raise _refuse(mode, f"one of: {', '.join(MODES)}", "take one of them")
    allow_live_changes = given(ALLOW_LIVE_CHANGES)
    if allow_live_changes.value is not None and not allow_live_changes.at_hand:
        # A file that is checked in must not let everybody's runs change a deployed system.
        raise _refuse(allow_live_changes, "nothing", f"give {ALLOW_LIVE_CHANGES.flag} by hand")
    seed = given(SEED)
    if seed.value is not None and not _is_number(seed.value, _SEED_DIGITS):
        raise _refuse(
            seed, f"a whole number of at most {_SEED_DIGITS} digits", "take the seed of the run to repeat"
        )
    gateway_program = _program(given(GATEWAY), live=mode.value == LIVE)
    gateway_invoices = given(GATEWAY_INVOICES)
    if gateway_invoices.value not in (None, *FACES):
        raise _refuse(gateway_invoices, f"one of: {', '.join(FACES)}", "take one of them")
    clock = given(CLOCK)
    if gateway_program is not None and clock.value not in (None, "now"):
        # What a program sells to expire does so by the machine's clock.
        raise _refuse(clock, f"now, or nothing, beside {GATEWAY.flag}", "leave it out")
    clock_start_ms = _clock_start_ms(clock)
    keep_previous = given(KEEP_PREVIOUS)
    if keep_previous.value is not None and not _is_number(keep_previous.value, _KEPT_DIGITS):
        raise _refuse(
            keep_previous, "a whole number of at most 6 digits", "take how many runs are to be kept"
        )
    progress = given(PROGRESS)
    if progress.value is not None and not _is_seconds(progress.value):
        raise _refuse(progress, "a number of seconds, or 0", "take after how long you want to be told")
    database = given(WORKFLOW_DATABASE)
    if database.value is not None and not _is_database(database.value, live=mode.value == LIVE):
        raise _refuse(
            database,
            "sqlite, postgresql, or postgresql://…",
            "take one; a file is looked at in live mode only",
        )
    required = given(REQUIRED)

    output = given(ARTIFACT_DIR)
    artifact_dir = _path(output)
    if artifact_dir is not None:
        check_output_folder(artifact_dir, output.origin)
    waivers = _path(given(WAIVERS))
    if waivers is not None and not waivers.is_file():
        raise _refuse(given(WAIVERS), "a file of waivers", "write it, or leave the option out")
    workflow_tables = _path(given(WORKFLOW_TABLES))
    if workflow_tables is not None and not workflow_tables.is_file():
        raise _refuse(
            given(WORKFLOW_TABLES), "a file of names of tables", "write it, or leave the option out"
        )
    billing = _path(given(BILLING))
    if billing is not None and not billing.is_file():
        raise _refuse(given(BILLING), "a file about a billing service", "write it, or leave the option out")
    count_cmd = given(COUNT_CMD)
    if count_cmd.value is not None and not count_cmd.at_hand:
        # A file that is checked in must not choose what everybody's runs execute.
        raise _refuse(count_cmd, "nothing", f"give {COUNT_CMD.flag} by hand")
    allow_missing = bool(given(ALLOW_MISSING).value)
    local_artifact = _path(given(LOCAL_ARTIFACT))
    if local_artifact is not None and not local_artifact.is_file() and not allow_missing:
        raise _refuse(
            given(LOCAL_ARTIFACT),
            "an existing local-node artifact",
            f"correct the path, or add {ALLOW_MISSING.flag}",
        )
    sign_key = _path(given(SIGN_KEY))
    if sign_key is not None and not sign_key.is_file():
        raise _refuse(given(SIGN_KEY), "a file with a private key", "correct the path, or leave it out")
    signer = given(SIGNER)
    if signer.value not in (None, *SIGNERS):
        raise _refuse(signer, f"one of: {', '.join(SIGNERS)}", "say who signs, or leave it out")
    valid_days = given(VALID_DAYS)
    if valid_days.value is not None and not _is_days(valid_days.value):
        raise _refuse(valid_days, f"a whole number from 1 to {_MOST_DAYS}", "take how many days it may count")
    compare = _path(given(COMPARE))
    if compare is not None and not compare.exists():
        raise _refuse(given(COMPARE), "an earlier run", "correct the path, or leave it out")
    return Settings(
        mode=mode.value or MODES[0],
        artifact_dir=artifact_dir or root / "output",
        local_artifact=local_artifact,
        allow_missing_local_artifact=allow_missing,
        required=_families(required),
        required_at_hand=required.at_hand,
        teeth=not given(NO_TEETH).value,
        waivers=waivers,
        seed=int(seed.value or 402),
        catalogue=_path(given(CATALOGUE)) or root / "rehearsals" / "catalogue.yaml",
        allow_live_changes=bool(allow_live_changes.value),
        workflow_tables=workflow_tables,
        billing=billing,
        count_cmd=count_cmd.value,
        sign_key=sign_key,
        signer=signer.value or SIGNERS[-1],
        compare=compare,
        valid_days=int(valid_days.value or 30),
        workflow_database=None if database.value == "sqlite" else database.value,
        keep_previous=int(keep_previous.value or 10),
        progress_after_ms=int(float(progress.value or 10) * 1000),
        clock_start_ms=clock_start_ms,
        gateway_program=gateway_program,
        gateway_invoices=gateway_invoices.value,
        aperture_config=_aperture_config(given(APERTURE_CONFIG), live=mode.value == LIVE),
        sold=_sold(given(SOLD), on_sale=given(APERTURE_CONFIG).value is not None),
    )


def check_output_folder(folder: Path, origin: str) -> None:
    """Raise `pytest.UsageError` unless `folder` is, or could be made, a folder that can be written to."""
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    if not nearest.is_dir():
        raise pytest.UsageError(
            f"{origin}: expected a folder, saw {nearest}, which is a file; name another folder"
        )
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise pytest.UsageError(
            f"{origin}: expected a folder to write to, saw {nearest}, which is read-only; name another folder"
        )


def _refuse_paths_after_a_space(config: pytest.Config) -> None:
    """Refuse `--option PATH` where pytest has taken an existing PATH for the root of another project.

    It looks for its root before it knows any plugin's options, and takes what follows them for arguments.
    """
    here = config.invocation_params.dir
    arguments = [str(argument) for argument in config.invocation_params.args]
    paths = (
        *(ARTIFACT_DIR, LOCAL_ARTIFACT, WAIVERS, CATALOGUE, WORKFLOW_TABLES, BILLING),
        *(SIGN_KEY, APERTURE_CONFIG, COMPARE),
    )
    flags = {option.flag for option in paths}
    for flag, value in pairwise(arguments):
        place = here / value
        if flag in flags and place.exists() and here not in (place.resolve(), *place.resolve().parents):
            raise pytest.UsageError(
                f"{flag} {value}: expected {flag}={value}, saw a space; "
                "pytest takes an existing path after a space for the root of the project"
            )


def _given(config: pytest.Config, option: Option, environ: Mapping[str, str]) -> _Given:
    here = config.invocation_params.dir
    value: Any = config.getoption(option.name)
    if value is not None:
        return _not_blank(_Given(value, option.flag, here, at_hand=True))
    value = environ.get(option.variable)
    if value is not None:
        found = _not_blank(_Given(value, option.variable, here, at_hand=True))
        return _as_bool(found) if option.ini_type == "bool" else found
    base = config.rootpath if config.inipath is None else config.inipath.parent
    return _not_blank(_Given(config.getini(option.name), f"ini option {option.name}", base, at_hand=False))


def _not_blank(found: _Given) -> _Given:
    values = found.value if isinstance(found.value, list) else [found.value]
    if not values or any(isinstance(value, str) and not value.strip() for value in values):
        raise pytest.UsageError(f"{found.origin}: expected a value, saw a blank one; set it, or leave it out")
    return found


def _as_bool(found: _Given) -> _Given:
    word = found.value.strip().lower()
    if word not in _TRUE | _FALSE:
        raise _refuse(found, "1 or 0 (true, false, yes, no, on, off)", "set it, or leave it out")
    return _Given(word in _TRUE, found.origin, found.base, found.at_hand)


def _is_number(text: str, digits: int) -> bool:
    return len(text) <= digits and text.isascii() and text.isdigit()


def _is_days(text: str) -> bool:
    return _is_number(text, len(str(_MOST_DAYS))) and 1 <= int(text) <= _MOST_DAYS


def _is_seconds(text: str) -> bool:
    whole, _, part = text.partition(".")
    return _is_number(whole, 6) and (part == "" or _is_number(part, 3))


def _is_database(text: str, *, live: bool) -> bool:
    known = ("sqlite:///", "postgresql://") if live else ("postgresql://",)
    return text in ("sqlite", "postgresql") or text.startswith(known)


def _clock_start_ms(found: _Given) -> int | None:
    if found.value is None:
        return None
    if found.value == "now":
        from pytest_l402.plugin.clock import now_ms

        return now_ms()
    from datetime import datetime

    try:
        start = datetime.fromisoformat(found.value)
    except ValueError:
        start = None
    if start is None or start.tzinfo is None or not 0 <= start.timestamp() < 1 << 35:
        raise _refuse(found, "now, or a time with its zone since 1970", "write it as 2026-12-01T00:00:00Z")
    return int(start.timestamp() * 1000)


def _path(found: _Given) -> Path | None:
    if found.value is None:
        return None
    try:
        return (found.base / Path(found.value).expanduser()).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise _refuse(found, "a path", f"it cannot be one ({error})") from error


def _program(found: _Given, *, live: bool) -> Path | None:
    if found.value is None:
        return None
    if live:
        raise _refuse(found, f"nothing beside {MODE.flag}={LIVE}", "leave one of them out")
    from pytest_l402.plugin.gateway_option import UnusableProgramError, program_named

    try:
        return program_named(found.value, found.base)
    except UnusableProgramError as unusable:
        raise _refuse(found, unusable.expected, unusable.remedy) from None


def _aperture_config(found: _Given, *, live: bool) -> Path | None:
    path = _path(found)
    if path is not None and live:
        raise _refuse(found, f"nothing beside {MODE.flag}={LIVE}", "leave one of them out")
    if path is not None and not path.is_file():
        raise _refuse(found, "a file of Aperture's", "correct the path")
    return path


def _sold(found: _Given, *, on_sale: bool) -> tuple[str, ...]:
    if found.value is None:
        return ()
    if not on_sale:
        raise _refuse(found, f"{APERTURE_CONFIG.flag} beside it", "name the file that sells it")
    values = found.value if isinstance(found.value, list) else [found.value]
    given = tuple(each for value in values for each in value.split())
    roles = [each.partition("=")[0] for each in given]
    if not all(map(_SOLD.fullmatch, given)) or len(set(roles)) < len(roles):
        form = f"ROLE=PATH or ROLE=PATH@SATS, each role once, of {', '.join(ROLES_ON_SALE)}"
        raise _refuse(found, form, "write it as premium=/v1/quotes@21")
    return given


def _families(found: _Given) -> tuple[str, ...]:
    if found.value is None:
        return ()
    values = found.value if isinstance(found.value, list) else [found.value]
    names = [name.strip() for value in values for name in value.split(",")]
    if not all(names):
        raise _refuse(found, "family names between the commas", "take the stray comma out")
    return tuple(dict.fromkeys(names))


def _refuse(found: _Given, expected: str, remedy: str) -> pytest.UsageError:
    seen = " ".join(found.value) if isinstance(found.value, list) else str(found.value)
    return pytest.UsageError(f"{found.origin}: expected {expected}, saw {seen!r}; {remedy}")

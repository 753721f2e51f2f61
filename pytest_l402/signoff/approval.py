"""Decides how people approve a run: a detached SSH signature over its statement, checked against a roster.

Nothing here runs in a test run: who approves is at a terminal, and may be asked for a passphrase by
`ssh-keygen`. Sources: OpenSSH's PROTOCOL.sshsig; ssh-keygen(1), ALLOWED SIGNERS.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pytest_l402.boundary.text_safety import printable
from pytest_l402.boundary.whole_files import write_whole
from pytest_l402.signoff.manifest import APPROVALS, contents, is_approval, read_file
from pytest_l402.signoff.run_files import STATEMENT

NAMESPACE: Final = "l402-signoff"
"""What the signature is for: one over the same bytes for anything else is refused."""

_MAX_SIGNATURE_BYTES: Final = 65_536
_PATIENCE_S: Final = 20
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9@._+-]")


class ApprovalError(Exception):
    """A run cannot be approved, or an approval not be believed, or told (`is_inconclusive`); one line."""

    def __init__(self, text: str, *, is_inconclusive: bool = False) -> None:
        super().__init__(printable(text, limit=600))
        self.is_inconclusive = is_inconclusive


def signatures_in(folder: Path) -> tuple[str, ...]:
    """Return the approvals of a run folder, as paths below it."""
    return tuple(name for name in contents(folder).files if is_approval(name))


def approve(folder: Path, *, key: Path, identity: str, roster: Path | None, now_ms: int) -> Path:
    """Sign the statement of a run with an SSH key, and return the file of the signature.

    `key` is a private key, or a public one whose private half an agent holds. With a roster the signature is
    left only if it is one of `identity` by that roster. Raises `ApprovalError`.
    """
    _check_key(key)
    signature = _ssh_keygen(
        ("-Y", "sign", "-f", str(key), "-n", NAMESPACE), read_file(folder / STATEMENT), interactive=True
    )
    name = f"{APPROVALS}/{_UNSAFE.sub('_', identity)[:100]}.sig"
    if (folder / name).exists():
        raise ApprovalError(f"{name}: expected no approval by {identity}, saw one; remove it to give another")
    write_whole(folder / name, signature.encode())
    if roster is not None:
        try:
            found = approvers(folder, name, roster, now_ms)
            if identity not in found.split(", "):
                raise ApprovalError(
                    f"{name}: expected a key of {identity} by {roster.name}, saw one of {found}"
                )
        except ApprovalError:
            (folder / name).unlink()
            raise
    return folder / name


def approvers(folder: Path, name: str, roster: Path, now_ms: int) -> str:
    """Return whose signature this is by a roster at an instant, epoch ms; raises `ApprovalError`."""
    if not roster.is_file():
        raise ApprovalError(f"{roster}: expected a roster, saw none; correct the path", is_inconclusive=True)
    file, moment = folder / name, datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%d%H%M%SZ")
    if file.stat().st_size > _MAX_SIGNATURE_BYTES:
        raise ApprovalError(f"{name}: expected a signature, saw more than {_MAX_SIGNATURE_BYTES} bytes")
    signed = ("-f", str(roster), "-s", str(file), f"-Overify-time={moment}")
    try:
        found = _ssh_keygen(("-Y", "find-principals", *signed), b"").split("\n")
    except ApprovalError as error:
        if error.is_inconclusive:
            raise
        raise ApprovalError(
            f"{name}: expected a signature by a key that counts then by {roster.name}, saw another: {error}"
        ) from None
    names = [identity for line in found for identity in line.split(",") if identity]
    statement = read_file(folder / STATEMENT)
    for identity in names:
        try:
            _ssh_keygen(("-Y", "verify", *signed, "-I", identity, "-n", NAMESPACE), statement)
        except ApprovalError as error:
            raise ApprovalError(
                f"{name}: expected what {identity} signed as {NAMESPACE}, saw another: {error}",
                is_inconclusive=error.is_inconclusive,
            ) from None
    return ", ".join(names)


def _check_key(key: Path) -> None:
    try:
        status = key.stat()
    except OSError as error:
        raise ApprovalError(f"{key}: expected an SSH key, saw: {error.strerror or error}") from None
    if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_SIGNATURE_BYTES:
        raise ApprovalError(f"{key}: expected an SSH key, saw something else; correct the path")
    if b"PRIVATE KEY" in read_file(key) and status.st_mode & 0o077:
        raise ApprovalError(
            f"{key}: expected a key that only its owner can read, saw one that others can; chmod 600"
        )


def _ssh_keygen(arguments: tuple[str, ...], data: bytes, *, interactive: bool = False) -> str:
    """Run it on these bytes and return what it prints; without a terminal it cannot ask for anything."""
    at_hand = interactive and sys.stdin is not None and sys.stdin.isatty()
    try:
        done = subprocess.run(
            ["ssh-keygen", *arguments],
            input=data,
            capture_output=True,
            check=False,
            timeout=None if at_hand else _PATIENCE_S,
            start_new_session=not at_hand,
            env=os.environ if at_hand else {**os.environ, "SSH_ASKPASS_REQUIRE": "never"},
        )
    except FileNotFoundError:
        raise ApprovalError(
            "expected ssh-keygen of OpenSSH, saw none; install openssh-client", is_inconclusive=True
        ) from None
    except subprocess.TimeoutExpired:
        raise ApprovalError(
            f"ssh-keygen gave no answer within {_PATIENCE_S} seconds", is_inconclusive=True
        ) from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().replace("\n", "; ") or "nothing"
        hint = "" if at_hand or not interactive else "; a key under a passphrase needs a terminal or an agent"
        raise ApprovalError(f"ssh-keygen says {said}{hint}")
    return done.stdout.decode("utf-8", "replace").strip()

"""Verifiers that are not ours accept a signed run, and refuse each way of tampering with it.

`L402_VERIFIERS` names the folder that `.ci/verifiers` fills. Where it is set nothing may be missing; where it
is not, what is not installed is skipped.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from signoff_samples import GREEN, PROJECT, SYSTEM, VERSIONS, judge

from pytest_l402.signoff.approval import NAMESPACE, approve
from pytest_l402.signoff.document import Vouched, build_document
from pytest_l402.signoff.files import write_run
from pytest_l402.signoff.signing import SigningKey, encoding, read_signing_key

pytestmark = pytest.mark.slow

PLACE = os.environ.get("L402_VERIFIERS")
SIGN_OFF = "urn:pytest-l402:signoff:v1"
RECORDS = "evidence/reuse/records.jsonl"

# Its trust material is one key: no log, no timestamps, no certificate.
SIGSTORE = """\
const { bundleFromJSON } = require('@sigstore/bundle');
const { Verifier, toSignedEntity, toTrustMaterial } = require('@sigstore/verify');
const fs = require('fs'), crypto = require('crypto');
const [bundlePath, keyPath] = process.argv.slice(2);
const bundle = bundleFromJSON(JSON.parse(fs.readFileSync(bundlePath, 'utf8')));
const publicKey = crypto.createPublicKey(fs.readFileSync(keyPath));
const none = { certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [] };
const trust = toTrustMaterial(none, () => ({ publicKey, validFor: () => true }));
const thresholds = { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 };
new Verifier(trust, thresholds).verify(toSignedEntity(bundle));
process.stdout.write(bundle.content.dsseEnvelope.payload);
"""

# The recipe of docs/verify-a-sign-off.md, in one piece.
OPENSSL = """\
set -euo pipefail
jq -r .payload statement.dsse.json | base64 -d >"$1/payload"
printf 'DSSEv1 28 application/vnd.in-toto+json %s ' "$(stat -c %s "$1/payload")" >"$1/signed"
cat "$1/payload" >>"$1/signed"
jq -r '.signatures[0].sig' statement.dsse.json | base64 -d >"$1/sig"
if openssl pkey -pubin -in "$2" -noout -text | grep -q ED25519; then
    openssl pkeyutl -verify -pubin -inkey "$2" -rawin -in "$1/signed" -sigfile "$1/sig" >&2
else
    openssl dgst -sha256 -verify "$2" -signature "$1/sig" "$1/signed" >&2
fi
cat "$1/payload"
"""


class RefusedError(Exception):
    """A verifier that is not ours has refused."""


def tool(name: str) -> str:
    """The path of a program; skips where it is not installed, and fails where the gate was to install it."""
    beside = Path(PLACE or "/nowhere") / "bin" / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        if PLACE is not None:
            pytest.fail(f"expected {name}, as L402_VERIFIERS is set, saw none")
        pytest.skip(f"{name} is not installed")
    return found


def ran(*command: str, where: Path) -> bytes:
    # Without network, where that can be taken away: what needs it is no offline verifier.
    alone = subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode == 0
    prefix = ["unshare", "-rn"] if alone else []
    done = subprocess.run([*prefix, *command], cwd=where, capture_output=True, check=False, timeout=60)
    if done.returncode != 0:
        raise RefusedError(done.stderr.decode(errors="replace"))
    return done.stdout


def by_cosign(folder: Path, key: Path, scratch: Path) -> bytes:
    program = tool("cosign")
    for blob in ("signoff.json", RECORDS):
        ran(
            *(program, "verify-blob-attestation", "--key", str(key), "--signature", "statement.dsse.json"),
            *("--insecure-ignore-tlog=true", "--type", SIGN_OFF, blob),
            where=folder,
        )
    return base64.b64decode(json.loads((folder / "statement.dsse.json").read_bytes())["payload"])


def by_openssl(folder: Path, key: Path, scratch: Path) -> bytes:
    for name in ("jq", "openssl"):
        tool(name)
    return ran("bash", "-c", OPENSSL, "recipe", str(scratch), str(key), where=folder)


def by_sigstore(folder: Path, key: Path, scratch: Path) -> bytes:
    node, modules = tool("node"), Path(PLACE or "/nowhere") / "node_modules"
    if not (modules / "@sigstore" / "verify").is_dir():
        if PLACE is not None:
            pytest.fail(f"expected @sigstore/verify in {modules}, saw none")
        pytest.skip("@sigstore/verify is not installed")
    script = modules.parent / "verify.js"
    script.write_text(SIGSTORE)
    return ran(node, str(script), str(folder / "statement.sigstore.json"), str(key), where=folder)


def by_securesystemslib(folder: Path, key: Path, scratch: Path) -> bytes:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import SSlibKey

    try:
        envelope = Envelope.from_dict(json.loads((folder / "statement.dsse.json").read_bytes()))
        public = load_pem_public_key(key.read_bytes())
        der = public.public_bytes(Encoding.DER, _spki())
        trusted = SSlibKey.from_crypto(public, keyid=hashlib.sha256(der).hexdigest())  # type: ignore[arg-type]
        envelope.verify([trusted], 1)
    except (VerificationError, ValueError, KeyError) as error:
        raise RefusedError(str(error)) from error
    payload: bytes = envelope.payload
    return payload


def _spki() -> Any:
    from cryptography.hazmat.primitives.serialization import PublicFormat

    return PublicFormat.SubjectPublicKeyInfo


VERIFIERS: dict[str, Callable[[Path, Path, Path], bytes]] = {
    "cosign": by_cosign,
    "openssl": by_openssl,
    "sigstore": by_sigstore,
    "securesystemslib": by_securesystemslib,
}


def check(verify: Callable[[Path, Path, Path], bytes], folder: Path, key: Path, scratch: Path) -> None:
    """Verify the signature with somebody's tool, then its type, and hold every file to what was signed."""
    statement = json.loads(verify(folder, key, scratch))
    if statement["predicateType"] != SIGN_OFF:
        raise RefusedError(f"it is a {statement['predicateType']}")
    signed = {each["name"]: each["digest"]["sha256"] for each in statement["subject"]}
    about = {"SHA256SUMS", "signer.pem", "statement.json", "test-result.json"}
    about |= {f"{name}.{kind}.json" for name in ("statement", "test-result") for kind in ("dsse", "sigstore")}
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - about
    if files != signed.keys():
        raise RefusedError(f"files that nobody signed, or that are gone: {sorted(files ^ signed.keys())}")
    for name, digest in signed.items():
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
            raise RefusedError(f"{name} was changed")


def new_key(path: Path, kind: str = "ed25519") -> SigningKey:
    made = (
        ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    )
    form = PrivateFormat.OpenSSH if kind == "openssh" else PrivateFormat.PKCS8
    path.write_bytes(made.private_bytes(Encoding.PEM, form, NoEncryption()))
    path.chmod(0o600)
    return read_signing_key(path)


def signed_run(folder: Path, key: SigningKey) -> None:
    for rehearsal in ("success", "reuse"):
        place = folder / "evidence" / rehearsal
        place.mkdir(parents=True)
        (place / "records.jsonl").write_text(f'{{"requestId":"req-{rehearsal}"}}\n')
    nodes = [replace(node, systems=(replace(SYSTEM, digest=f"sha256:{'1' * 64}"),)) for node in GREEN]
    document = build_document(
        judge(nodes), project=PROJECT, versions=VERSIONS, vouched=Vouched(key_id=key.public.key_id)
    )
    write_run(folder, document, key.sign_statements)


def _edit_envelope(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    for name in ("statement.dsse.json", "statement.sigstore.json"):
        told = json.loads((folder / name).read_bytes())
        edit(told.get("dsseEnvelope", told))
        (folder / name).write_text(json.dumps(told))


def _with_payload(folder: Path, old: bytes, new: bytes) -> None:
    def edit(envelope: dict[str, Any]) -> None:
        payload = base64.b64decode(envelope["payload"])
        assert old in payload
        envelope["payload"] = base64.b64encode(payload.replace(old, new)).decode()

    _edit_envelope(folder, edit)


def _forge(folder: Path) -> None:
    """Write it all anew, signed by a key of the forger, and claim the key id of the real one."""
    forger = new_key(folder.parent / "forger.key")

    def edit(envelope: dict[str, Any]) -> None:
        payload = base64.b64decode(envelope["payload"])
        envelope["signatures"][0]["sig"] = base64.b64encode(forger.sign(encoding(payload))).decode()

    _edit_envelope(folder, edit)
    (folder / "signer.pem").write_bytes(forger.public.pem)


def _swap(folder: Path) -> None:
    """Put the other statement, which the same key has signed, in the place of this one."""
    for kind in ("dsse", "sigstore"):
        shutil.copy(folder / f"test-result.{kind}.json", folder / f"statement.{kind}.json")


def _append(folder: Path, name: str) -> None:
    with (folder / name).open("ab") as file:
        file.write(b"\n")


TAMPERED: dict[str, Callable[[Path], object]] = {
    "evidence is altered": lambda folder: _append(folder, RECORDS),
    "evidence is removed": lambda folder: (folder / RECORDS).unlink(),
    "evidence is added": lambda folder: (folder / "evidence" / "more.jsonl").write_text("{}\n"),
    "the document is altered": lambda folder: _append(folder, "signoff.json"),
    "the page is altered": lambda folder: _append(folder, "signoff.html"),
    "the end is moved": lambda folder: _with_payload(folder, b'"notAfter": "2026', b'"notAfter": "2036'),
    "it is signed by a forger": _forge,
    "it is another statement": _swap,
    "the signature is another": lambda folder: _edit_envelope(
        folder, lambda envelope: envelope["signatures"][0].update(sig=base64.b64encode(b"\0" * 64).decode())
    ),
}


@pytest.fixture(params=["ed25519", "p256", "openssh"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("name", VERIFIERS)
def test_it_accepts_a_run_that_was_signed(tmp_path: Path, name: str, kind: str) -> None:
    key, folder = new_key(tmp_path / "ci.key", kind), tmp_path / "run"
    signed_run(folder, key)
    (tmp_path / "ci.pub").write_bytes(key.public.pem)
    (tmp_path / "scratch").mkdir()
    check(VERIFIERS[name], folder, tmp_path / "ci.pub", tmp_path / "scratch")


@pytest.mark.parametrize("way", TAMPERED)
@pytest.mark.parametrize("name", VERIFIERS)
def test_it_refuses_what_was_tampered_with(tmp_path: Path, name: str, way: str) -> None:
    key, folder = new_key(tmp_path / "ci.key"), tmp_path / "run"
    signed_run(folder, key)
    (tmp_path / "ci.pub").write_bytes(key.public.pem)
    (tmp_path / "scratch").mkdir()
    TAMPERED[way](folder)
    with pytest.raises(RefusedError):
        check(VERIFIERS[name], folder, tmp_path / "ci.pub", tmp_path / "scratch")


def test_ssh_keygen_verifies_who_approved_and_nothing_else(tmp_path: Path) -> None:
    program, ada = tool("ssh-keygen"), tmp_path / "ada"
    subprocess.run([program, "-q", "-t", "ed25519", "-N", "", "-f", str(ada)], check=True)
    folder, roster = tmp_path / "run", tmp_path / "roster"
    signed_run(folder, new_key(tmp_path / "ci.key"))
    roster.write_text(f'ada@shop namespaces="{NAMESPACE}" {(tmp_path / "ada.pub").read_text()}')
    signature = approve(folder, key=ada, identity="ada@shop", roster=roster, now_ms=1_795_300_000_000)

    def verified(namespace: str = NAMESPACE, identity: str = "ada@shop") -> bool:
        command = [program, "-Y", "verify", "-f", str(roster), "-I", identity, "-n", namespace]
        done = subprocess.run(
            [*command, "-s", str(signature)],
            input=(folder / "statement.json").read_bytes(),
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    assert verified()
    assert not verified(namespace="git")
    assert not verified(identity="bob@shop")
    _append(folder, "statement.json")
    assert not verified()


def test_the_parsers_of_in_toto_read_both_statements_and_nothing_more(tmp_path: Path) -> None:
    from google.protobuf.json_format import Parse, ParseError
    from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement

    folder = tmp_path / "run"
    signed_run(folder, new_key(tmp_path / "ci.key"))
    for name in ("statement.json", "test-result.json"):
        parsed = Parse((folder / name).read_bytes(), statement_pb2.Statement())
        Statement.copy_from_pb(parsed).validate()
    told = json.loads((folder / "test-result.json").read_bytes())["predicate"]
    result = Parse(json.dumps(told), test_result_pb2.TestResult())
    assert (result.result, result.configuration[0].name) == ("PASSED", "pytest-l402 rehearsals")
    assert [*result.passed_tests] == ["success", "reuse"]
    with pytest.raises(ParseError):
        Parse(json.dumps({**told, "waivers": []}), test_result_pb2.TestResult())

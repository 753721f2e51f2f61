"""The table of breakages of operations: of compile, reconcile, security and ingest, each with its line."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from breakages import Breakage, Patch, around, nothing

from pytest_l402.ops.compile import aperture_writer, candidates, compilation, terms
from pytest_l402.ops.reconcile import book, inspection, probing, reconciler
from pytest_l402.ops.security import credentials
from pytest_l402.stack.books import books, store
from pytest_l402.stack.control import credential_roles
from pytest_l402.stack.gateway import deployer

BREAKAGES: list[Breakage] = []
RUNBOOKS = ("staging-reconcile", "lightning-ops")


def breakage(name: str, *lines: str) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    def add(apply: Callable[[Patch], None]) -> Callable[[Patch], None]:
        BREAKAGES.append(Breakage(name, lines, apply))
        return apply

    return add


# What is written of a deployment


def _metadata_with(change: Callable[[dict[str, Any]], Any]) -> Callable[[Patch], None]:
    def written(original: Any, /, *arguments: Any, **named: Any) -> Any:
        row = original(*arguments, **named)
        change(row.diagnostics["metadata"])
        return row

    def apply(patch: Patch) -> None:
        around(patch, book, "deployment_row", written)
        around(patch, reconciler, "deployment_row", written)

    return apply


WRITTEN: tuple[tuple[str, str, Callable[[dict[str, Any]], Any]], ...] = (
    ("a deployment is local", "3.deployments", lambda told: told.update(executionPath="local-node")),
    (
        "a deployment says that it was healthy whatever it was",
        "3.history",
        lambda told: told["progress"].update(healthOk=not told["progress"]["healthOk"]),
    ),
    ("parity keys are left out", "3.deployments", lambda told: told["correlation"].update(parityKeys=[])),
    ("a deployment does not say why it failed", "3.history", lambda told: told.pop("failure", None)),
)
for name, line, change in WRITTEN:
    breakage(name, line)(_metadata_with(change))


@breakage("a summary says that the health was fine", "3.history")
def _(patch: Patch) -> None:
    def outcome(original: Any, /, *arguments: Any, **named: Any) -> Any:
        summary = original(*arguments, **named)
        return summary.model_copy(update={"health_ok": not summary.health_ok})

    around(patch, book, "outcome", outcome)


@breakage("an event says nothing of what was found", "3.events")
def _(patch: Patch) -> None:
    def event(original: Any, self: Any, intent: Any, name: str, level: str, details: Any, *rest: Any) -> Any:
        return original(self, intent, name, level, {}, *rest)

    around(patch, book.ReconcileBook, "tell", event)


# What is probed


@breakage("only the first route is challenged", "4.rollback", "4.withdrawn")
def _(patch: Patch) -> None:
    def probe(original: Any, probes: Any, stage: Any, targets: Any, *rest: Any, **named: Any) -> Any:
        return original(probes, stage, targets[:1], *rest, **named)

    for module in (probing, reconciler):
        around(patch, module, "probe_stage", probe)
    around(patch, reconciler, "undo", lambda original, intent, *rest: original(_first_only(intent), *rest))


def _first_only(intent: Any) -> Any:
    return (
        intent.model_copy(update={"targets": intent.targets[:1]})
        if hasattr(intent, "model_copy")
        else (dataclasses.replace(intent, targets=intent.targets[:1]))
    )


@breakage("a withdrawal is not verified", "4.withdrawn")
def _(patch: Patch) -> None:
    def withdraw(intent: Any, gateway: Any, probes: Any, at: Any) -> Any:
        gateway.withdraw(request_id=intent.request_id, deployment_id=intent.deployment_id)
        return probing.Undone(None)

    patch.setattr(probing, "_withdraw", withdraw)


@breakage("a rollback is not verified", "4.rollback")
def _(patch: Patch) -> None:
    def roll_back(intent: Any, previous: Any, gateway: Any, probes: Any, at: Any) -> Any:
        gateway.rollback(request_id=intent.request_id, deployment_id=intent.deployment_id, target=previous)
        return probing.Undone(previous, ())

    patch.setattr(probing, "_roll_back", roll_back)


# Inspection


def _finds(reason: str) -> Callable[[Patch], None]:
    def apply(patch: Patch) -> None:
        def wrong(original: Any, *arguments: Any) -> Any:
            found = original(*arguments)
            return None if str(found).startswith(reason) else found

        around(patch, inspection, "_what_is_wrong", wrong)

    return apply


for name, reason in (
    ("an inspection says applied over nothing", "nothing_deployed"),
    ("an inspection says applied over another configuration", "active_is_"),
    ("an inspection says applied over an image that is not pinned", "image_digest_not_pinned"),
):
    breakage(name, "5.inspected")(_finds(reason))


# Compile


def _service_with(**changed: Any) -> Callable[[Patch], None]:
    def service(original: Any, item: Any) -> Any:
        made = original(item)
        return {**made, **{key: value for key, value in changed.items() if key in made}}

    return lambda patch: around(patch, aperture_writer, "service_of", service)


for name, line, changed in (
    ("services go to another address", "compile.services", {"address": "seller.l402.test:1"}),
    ("services are asked by another scheme", "compile.services", {"protocol": "https"}),
    ("credentials are good for another time", "compile.services", {"timeout": 60}),
    ("services cost something else", "compile.services", {"price": 1}),
    ("services take the requests of any host", "compile.services", {"hostregexp": "^.*$"}),
    ("services are put before another path", "compile.services", {"rewrite": {"prefix": "/v2"}}),
    ("a closed route is open", "compile.not-for-sale", {"authskipinvoicecreationpaths": []}),
):
    breakage(name, line)(_service_with(**changed))


@breakage("a paused route is not held closed", "compile.not-for-sale")
def _(patch: Patch) -> None:
    patch.setattr(candidates, "_withhold", nothing)


@breakage("overlaps are not looked for", "compile.diagnostics")
def _(patch: Patch) -> None:
    patch.setattr(compilation, "find_overlaps", lambda placed: [])


@breakage("a price over the paywall's own cap is sold", "compile.diagnostics")
def _(patch: Patch) -> None:
    patch.setattr(terms, "_price_findings", lambda paywall: iter(()))


# Security


@breakage("a credential of one letter will do", "security.fail-closed")
def _(patch: Patch) -> None:
    patch.setattr(credentials, "MIN_CREDENTIAL_LENGTH", 1)


@breakage("a credential may be a letter short", "security.fail-closed")
def _(patch: Patch) -> None:
    patch.setattr(credentials, "MIN_CREDENTIAL_LENGTH", 15)


@breakage("a revoked fingerprint is accepted again", "security.lifecycle")
def _(patch: Patch) -> None:
    patch.setattr(credential_roles.CredentialRoles, "_usable", lambda self, role, fingerprint: fingerprint)


# Settlement


def _blind_to(field: str) -> Callable[[Patch], None]:
    def differences(original: Any, *arguments: Any) -> Any:
        return [found for found in original(*arguments) if found.field != field]

    return lambda patch: around(patch, books, "_differences", differences)


for field in ("ownerId", "paywallId", "paymentHash", "amountMsats", "paymentProofRef"):
    breakage(f"another {field} of a settlement is not noticed", "settlement.conflict")(_blind_to(field))


@breakage("a refused batch is not noted", "settlement.conflict")
def _(patch: Patch) -> None:
    patch.setattr(store.SettlementStore, "note_batch", nothing)


@breakage("a gateway runs an image without a digest", "5.image")
def _(patch: Patch) -> None:
    patch.setattr(deployer, "STAND_IN_IMAGE", "gateway:latest")

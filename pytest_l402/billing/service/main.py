"""Decides how the service runs: its routes over HTTP, and a clockwork beside them until it is killed."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from pytest_l402.billing.faults import BillingFault
from pytest_l402.billing.guard import INVARIANTS, GuardState, Outcome, effective
from pytest_l402.billing.ledger import FLAGS
from pytest_l402.billing.log.reader import records_of
from pytest_l402.billing.log.store import Folder
from pytest_l402.billing.service.backend_client import BackendClient
from pytest_l402.billing.service.conversations import Conversations
from pytest_l402.billing.service.core import Core
from pytest_l402.billing.service.dead_letters import DeadLetters
from pytest_l402.billing.service.health import Health, Presence, guard_state
from pytest_l402.billing.service.money import Money, text_of
from pytest_l402.billing.service.payments import Payments
from pytest_l402.billing.settings import ServiceSettings
from pytest_l402.harness.json_app import Call, JsonApp, Refused, Route, presents
from pytest_l402.harness.loopback import LoopbackServer
from pytest_l402.harness.network import Request, Response

_API = "/api/v1"
_ADMIN = f"{_API}/admin"


class Service:
    """All endpoints of one instance, as an app."""

    def __init__(self, settings: ServiceSettings, environment: Mapping[str, str]) -> None:
        self.core = Core(settings)
        name = "TREASURY_ADDRESS"
        if self.core.has(BillingFault.TREASURY_FROM_OTHER_NAME):
            name = "FINN_TREASURY_ADDRESS"
        treasury = environment[name]
        self._admin, self._viewer = environment["ADMIN_TOKEN"], environment["VIEWER_TOKEN"]
        backend = BackendClient(settings.backend, settings.backend_timeout_s)
        self.dead_letters = DeadLetters(self.core, backend)
        self._money = Money(self.core, self.dead_letters, treasury)
        self._payments = Payments(self.core, backend, treasury)
        self._health = Health(self.core, self.dead_letters, Presence(settings.log, settings.instance))
        self._conversations = Conversations(self.core, settings.log)
        self._backend = backend
        self._app = JsonApp(self._routes(), guard=self._expect_admin, refused=self._told)

    def handle(self, request: Request) -> Response:
        """Answer one request, one at a time."""
        if request.path == "/health/live":
            return Response(200, (("Content-Type", "text/plain"),), b"alive\n")
        with self.core.turn:
            if request.path == "/metrics":
                kind = "application/openmetrics-text; version=1.0.0; charset=utf-8"
                return Response(200, (("Content-Type", kind),), self._health.metrics().encode())
            if request.path == "/health/ready":
                ready, told = self._health.ready()
                body = json.dumps(told).encode()
                return Response(200 if ready else 503, (("Content-Type", "application/json"),), body)
            return self._app.handle(request)

    def _routes(self) -> tuple[Route, ...]:
        money, payments = self._money, self._payments
        routes = (
            Route("POST", f"{_API}/credits/purchase", money.purchase),
            Route("POST", f"{_API}/x402/quotes", payments.quote),
            Route("POST", f"{_API}/x402/pay", payments.pay),
            Route("GET", f"{_API}/x402/payments/{{payment}}", payments.shown),
            Route("POST", f"{_API}/billing/reserve", money.reserve),
            Route("POST", f"{_API}/billing/commit", money.commit),
            Route("POST", f"{_API}/billing/release", money.release),
            Route("POST", f"{_API}/billing/callbacks", self._callback),
            Route("GET", f"{_API}/billing/entries/{{entry}}", money.shown),
            Route("GET", f"{_API}/balances/{{account}}", money.balance),
            Route("POST", f"{_API}/conversations/{{name}}", self._conversations.say),
            Route("GET", f"{_API}/conversations/{{name}}", self._conversations.shown),
            Route("POST", f"{_API}/nft/issue", lambda call: money.feature("nft")),
            Route("POST", f"{_API}/onboarding/start", lambda call: money.feature("onboarding")),
            Route(
                "POST",
                f"{_ADMIN}/dead-letters/{{entry}}/resolve",
                lambda call, name: self.dead_letters.resolve(name),
            ),
            Route("GET", f"{_ADMIN}/dead-letters", self._cause),
            Route("GET", f"{_ADMIN}/mints", self._mints),
            Route("POST", f"{_ADMIN}/reconcile", self._reconcile),
            Route("POST", f"{_ADMIN}/guard/judge", self._judge),
            Route("POST", f"{_ADMIN}/guard/lattice", self._lattice),
            Route("POST", f"{_ADMIN}/guard/bypass", self._bypass),
            Route("POST", f"{_ADMIN}/entitlements", self._entitle),
        )
        if self.core.has(BillingFault.FLAGS_NOT_MOUNTED):
            return routes
        flags = f"{_ADMIN}/feature-flags"
        return (*routes, Route("POST", flags, self._toggle), Route("GET", flags, self._flags))

    def _expect_admin(self, request: Request) -> None:
        if not request.path.startswith(_ADMIN):
            return
        if request.header("Authorization") is None:
            raise Refused(401, "ADMIN_AUTH_REQUIRED")
        if presents(request, self._viewer):
            raise Refused(403, "ADMIN_ROLE_REQUIRED")
        if not presents(request, self._admin):
            raise Refused(401, "ADMIN_AUTH_INVALID")

    def _told(self, refused: Refused) -> tuple[int, dict[str, Any]]:
        document: dict[str, Any] = {"error": refused.code}
        if refused.status == 503:
            wait_ms = self.dead_letters.breaker.retry_after_ms(self.core.now_ms())
            document["retryAfterMs"] = int(wait_ms or self.core.periods.poll_ms)
        return refused.status, document

    def _toggle(self, call: Call) -> dict[str, Any]:
        flag, enabled = text_of(call, "flag"), call.body.get("enabled")
        if flag not in FLAGS or not isinstance(enabled, bool):
            raise Refused(400, "INVALID_REQUEST")
        self.core.expect_open(None)
        old = self.core.ledger.flags.get(flag, False)
        told = {"actor": "admin", "flag": flag, "old": old, "new": enabled}
        self.core.record({"type": "feature_flag_toggle", **told})
        return {"flag": flag, "enabled": enabled}

    def _flags(self, call: Call) -> dict[str, Any]:
        self.core.expect_open(None)
        return {"flags": {flag: self.core.ledger.flags.get(flag, False) for flag in FLAGS}}

    def _callback(self, call: Call) -> dict[str, Any]:
        self.core.expect_open(None)
        attempt = call.body.get("attempt")
        if type(attempt) is not int or call.body.get("result") not in ("acked", "failed"):
            raise Refused(400, "MALFORMED_CALLBACK")
        return self.dead_letters.callback(text_of(call, "entry"), call.body["result"] == "acked", attempt)

    def _cause(self, call: Call) -> dict[str, Any]:
        core = self.core
        reasons, healthy = self.dead_letters.reasons(), self._backend.is_healthy()
        cause = (
            "none" if not reasons else "payload" if set(reasons) <= {"status 422"} and healthy else "backend"
        )
        return {
            "cause": "cache" if core.refusal == "REBUILDING" else cause,
            "reasons": reasons,
            "backend": healthy,
        }

    def _mints(self, call: Call) -> dict[str, Any]:
        span = dict(part.partition("=")[::2] for part in call.request.query.split("&"))
        try:
            least, most = int(span["fromMs"]), int(span["toMs"])
        except (KeyError, ValueError):
            raise Refused(400, "MALFORMED_SPAN") from None
        records = (json.loads(body) for _, _, body, _ in records_of(Folder(self.core.settings.log)))
        mints = [each for each in records if each["type"] == "credit_mint" and least <= each["atMs"] <= most]
        return {"mints": mints, "count": len(mints), "sumMsats": sum(each["amountMsats"] for each in mints)}

    def _reconcile(self, call: Call) -> dict[str, Any]:
        core = self.core
        core.expect_open(None)
        found = core.differences()
        if found:
            # Written down before the cache is touched: what was wrong must be known also if this fails.
            core.record({"type": "billing_reconciliation", "differences": found})
            core.refusal = "REBUILDING"
            core.look_at_cache()
        return {"differences": found}

    def _judge(self, call: Call) -> dict[str, Any]:
        invariant, values = text_of(call, "invariant"), call.body.get("values")
        if invariant not in INVARIANTS or not isinstance(values, dict):
            raise Refused(400, "MALFORMED_INVARIANT")
        verdict = self.core.guard.judge(invariant, values)
        return {"evaluator": verdict.evaluator, "adhoc": verdict.adhoc, "effective": verdict.effective}

    def _lattice(self, call: Call) -> dict[str, Any]:
        try:
            evaluator, adhoc = Outcome(str(call.body.get("evaluator"))), Outcome(str(call.body.get("adhoc")))
        except ValueError:
            raise Refused(400, "MALFORMED_OUTCOME") from None
        return {"effective": effective(evaluator, adhoc)}

    def _bypass(self, call: Call) -> dict[str, Any]:
        self.core.tell("bypass refused", guard=guard_state(self.core, self.dead_letters))
        raise Refused(403, "BYPASS_ONLY_AT_START")

    def _entitle(self, call: Call) -> dict[str, Any]:
        self.core.expect_open(None)
        told = {"account": text_of(call, "account"), "state": text_of(call, "state")}
        self.core.record({"type": "entitlement", **told})
        return told


class Clockwork:
    """What happens without a request, on one thread: retries, the cache looked at, the lock asked for."""

    def __init__(self, service: Service) -> None:
        self._service, self._core = service, service.core
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="billing-clockwork")
        periods = self._core.periods
        guard_ms = 600_000 if self._core.has(BillingFault.GUARD_NEVER_RETRIES) else periods.guard_ms
        self._turns: list[tuple[float, Callable[[], None]]] = [
            (periods.poll_ms, self._look),
            (guard_ms, self._compile),
            (min(periods.retry_ms) / 2, service.dead_letters.work),
        ]

    def __enter__(self) -> Clockwork:
        # Once before the first request, so that an instance that can be the writer is it when it is ready.
        self._compile()
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        due = [self._core.now_ms() + period for period, _ in self._turns]
        while not self._over.wait(max(min(due) - self._core.now_ms(), 0.0) / 1000):
            for number, (period, act) in enumerate(self._turns):
                if due[number] <= self._core.now_ms():
                    act()
                    due[number] = self._core.now_ms() + period

    def _look(self) -> None:
        with self._core.turn:
            if self._core.become_writer():
                self._core.look_at_cache()

    def _compile(self) -> None:
        core = self._core
        with core.turn:
            before, problem = core.guard.state, core.guard.problem
            if before is GuardState.DEGRADED:
                core.guard.compile()
            if core.guard.problem and core.guard.problem != problem:
                core.tell("guard degraded", why=core.guard.problem)
            elif problem and not core.guard.problem:
                core.tell("guard ready", circuit="closed")


def serve(settings: ServiceSettings, environment: Mapping[str, str]) -> None:
    """Run one instance until it is killed; prints one line of JSON when it answers."""
    service = Service(settings, environment)
    with Clockwork(service), LoopbackServer(service, host="billing") as server:
        print(json.dumps({"url": server.url, "pid": os.getpid()}), flush=True)
        threading.Event().wait()


def main() -> None:
    """Run the instance that the argument describes, as `ServiceSettings.written` does."""
    serve(ServiceSettings.read(sys.argv[1]), os.environ)


if __name__ == "__main__":
    main()

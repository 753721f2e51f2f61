"""How the stack is deployed on ports of this machine: the APIs of a real platform, over real HTTP."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from pytest_l402.contract import TaskStatus
from pytest_l402.harness.faults import Fault
from pytest_l402.harness.loopback import LoopbackServer
from pytest_l402.harness.network import (
    REQUEST_ID_HEADER,
    TASK_ID_HEADER,
    App,
    NetworkUnreachable,
    Request,
    Response,
)
from pytest_l402.ops.compile.compilation import compile_paywalls
from pytest_l402.ops.compile.paywall import PaywallDefinition
from pytest_l402.ops.compile.terms import MSATS_PER_SAT, TOKEN_VALIDITY_KEY
from pytest_l402.protocol.quote import read_quote
from pytest_l402.stack.buyer.executor import DEFAULT_USER
from pytest_l402.stack.buyer.policy import DEFAULT_CAP_MSATS
from pytest_l402.stack.faults import GatewayDown
from pytest_l402.stack.served.control_plane_api import ControlPlaneApi
from pytest_l402.stack.served.gateway_api import GatewayOpsApi
from pytest_l402.stack.served.request_record import RequestRecord
from pytest_l402.stack.served.scenario import Scenario
from pytest_l402.stack.stack import Stack

LOOPBACK = "127.0.0.1"
HEALTH_PATH = "/healthz"
PREPAID_VALIDITY_S = 30 * 24 * 3600
"""How long the prepaid proof of a served stack is good for."""
_REQUEST_ID = "serve"
_PREFIX = "OA_LIGHTNING_OPS_"


@dataclass(frozen=True, slots=True)
class ServedPlatform:
    """Where a served stack is reached, and the variables by which the live adapters find it; with secrets."""

    gateway_url: str
    control_plane_url: str
    environment: dict[str, str] = field(repr=False)


class ServedStack:
    """A stack behind the APIs of a deployed platform: gateway operations, control plane, worker API.

    The gateway runs what the control plane says. With `previous` it runs an earlier configuration, in which
    the first paywall costs one sat more; with `bare` nothing was deployed yet. `scenario` is a file that
    says what goes wrong, `record` one that every request is written to, `log` is told a line of each. The
    prepaid proof of its environment was paid for with the stack's wallet.
    """

    def __init__(
        self,
        stack: Stack,
        *,
        previous: bool = False,
        bare: bool = False,
        convex: bool = False,
        as_protobuf: bool = False,
        faults: Sequence[Fault] = (),
        scenario: Path | None = None,
        record: Path | None = None,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self._stack = stack
        self._previous = previous
        self._bare = bare
        self.log = log
        self.harness = stack.harness.derive("requests to a served stack")
        self._convex = convex
        self._standing_faults = tuple(faults)
        self._record = record
        self._serial = threading.RLock()
        self.scenario = Scenario(scenario, stack.faults)
        random = stack.harness.randomness.derive("served")
        self._secret, self._token, self._settlement_credential = (
            random.bytes(24, f"{name} of a served stack").hex() for name in ("secret", "token", "credential")
        )
        self.gateway_api = GatewayOpsApi(stack.ops.deployer, stack.edge, token=self._token)
        self.control_plane_api = ControlPlaneApi(
            stack.harness,
            stack.control_plane,
            self._paywalls,
            stack.settlement_store,
            stack.worker_api,
            secret=self._secret,
            settlement_credential=self._settlement_credential,
            as_protobuf=as_protobuf,
        )

    @contextmanager
    def serving(self) -> Iterator[ServedPlatform]:
        """Serve on two ports of this machine inside the block.

        Raises:
            InputError: the scenario cannot be used.
            RuntimeError: at the end, when a stand-in failed on a request.
        """
        with ExitStack() as block:
            proof = self._prepaid_proof()
            block.callback(self.scenario.close)
            self.scenario.refresh()
            for fault in self._standing_faults:
                block.enter_context(self._stack.faults.inject(fault))
            record = block.enter_context(RequestRecord.kept_in(self._record, self._stack.clock))
            gateway = LoopbackServer(
                _Front(self, "gateway", self.gateway_api, record),
                host=LOOPBACK,
                refused_when=self._is_gateway_down,
            )
            block.enter_context(gateway)
            control = LoopbackServer(
                _Front(self, "control-plane", self.control_plane_api, record), host=LOOPBACK
            )
            block.enter_context(control)
            block.enter_context(self._stack.faults.watched(gateway.look))
            yield ServedPlatform(gateway.url, control.url, self._environment(gateway.url, control.url, proof))

    def faults_that_never_fired(self) -> tuple[str, ...]:
        """Return the names of the faults that stood from the start, and have changed nothing."""
        fired = [injected.fault for injected in self._stack.faults.history() if injected.fired]
        return tuple(fault.name for fault in self._standing_faults if fault not in fired)

    def answer(self, app: App, request: Request) -> Response:
        """Answer one request, as the scenario now has it."""
        with self._serial:
            self.scenario.refresh()
            request_id = request.header(REQUEST_ID_HEADER)
            if app is self.gateway_api and self._stack.faults.active(GatewayDown, request_id):
                raise NetworkUnreachable(LOOPBACK, "connection refused (GatewayDown)")
            return app.handle(request)

    def _is_gateway_down(self) -> bool:
        """Read the scenario too: no request comes that would do so while connections are refused."""
        with self._serial:
            self.scenario.refresh()
            return self._stack.faults.in_force(GatewayDown)

    def _paywalls(self, request_id: str) -> tuple[PaywallDefinition, ...]:
        """Return the control plane's paywalls, as sold under the address at which the gateway is reached."""
        return tuple(self._served(item) for item in self._stack.ops.source.paywalls(request_id=request_id))

    def _served(self, paywall: PaywallDefinition) -> PaywallDefinition:
        price = self.scenario.prices.get(paywall.paywall_id)
        policy = paywall.policy
        if price is not None:
            # The fraction of a sat is the fault `PaywallNotCompilable`: another price does not mend it.
            fraction = policy.fixed_amount_msats % MSATS_PER_SAT
            policy = replace(policy, fixed_amount_msats=price + fraction)
        routes = tuple(replace(route, host_pattern=LOOPBACK) for route in paywall.routes)
        metadata = {TOKEN_VALIDITY_KEY: PREPAID_VALIDITY_S, **paywall.metadata}
        return replace(paywall, policy=policy, routes=routes, metadata=metadata)

    def _prepaid_proof(self) -> str:
        """Buy the first resource of the earlier configuration, and leave the one that is to run."""
        now = self._paywalls(_REQUEST_ID)
        policy = now[0].policy
        price = policy.fixed_amount_msats + MSATS_PER_SAT
        earlier = replace(now[0], policy=replace(policy, fixed_amount_msats=price))
        self._deploy("dep_previous", (earlier, *now[1:]))
        plane, path = self._stack.control_plane, self._stack.paywalls[0].path
        # Bought for a task, as every purchase of the platform's users is: the settlement then names it.
        task = plane.create_task(
            _REQUEST_ID, DEFAULT_USER, f"https://{LOOPBACK}{path}", DEFAULT_CAP_MSATS, LOOPBACK
        )
        headers = ((REQUEST_ID_HEADER, _REQUEST_ID), (TASK_ID_HEADER, task.task_id))
        request = Request("GET", LOOPBACK, path, headers=headers)
        quote = read_quote(self._stack.edge.handle(request).headers_of("WWW-Authenticate"))
        payment = self._stack.wallet.pay_invoice(quote.invoice, max_msats=quote.amount_msats)
        proof = quote.authorization(payment.preimage)
        # Presented once, so that the settlement is in the books as after any purchase.
        self._stack.edge.handle(replace(request, headers=(*headers, ("Authorization", proof))))
        for status in (TaskStatus.RUNNING, TaskStatus.PAID, TaskStatus.COMPLETED):
            plane.transition(task.task_id, status, _REQUEST_ID, "gateway")
        if self._bare:
            self._stack.ops.deployer.withdraw(request_id=_REQUEST_ID, deployment_id="dep_previous")
        elif not self._previous:
            self._deploy("dep_served", now)
        return proof

    def _deploy(self, deployment_id: str, paywalls: Sequence[PaywallDefinition]) -> None:
        compilation = compile_paywalls(paywalls)
        self._stack.ops.deployer.apply(
            request_id=_REQUEST_ID,
            deployment_id=deployment_id,
            config_hash=compilation.config_hash,
            aperture_yaml=compilation.aperture_yaml,
            image_digest=None,
        )

    def _environment(self, gateway_url: str, control_url: str, proof: str) -> dict[str, str]:
        resource = f"{gateway_url}{self._stack.paywalls[0].path}"
        return {
            f"{_PREFIX}{'KHALA_URL' if self._convex else 'API_BASE_URL'}": control_url,
            f"{_PREFIX}SECRET": self._secret,
            f"{_PREFIX}GATEWAY_BASE_URL": gateway_url,
            f"{_PREFIX}CHALLENGE_URL": resource,
            f"{_PREFIX}PROXY_URL": resource,
            f"{_PREFIX}GATEWAY_OPS_TOKEN": self._token,
            f"{_PREFIX}GATEWAY_HEALTH_PATH": HEALTH_PATH,
            f"{_PREFIX}PROXY_AUTHORIZATION_HEADER": proof,
            f"{_PREFIX}CRED_SETTLEMENT_READ": self._settlement_credential,
        }


class _Front:
    """One of the two ports: every request passes here, gets an id, is answered in its turn, and recorded."""

    def __init__(self, served: ServedStack, name: str, app: App, record: RequestRecord) -> None:
        self._served = served
        self._name = name
        self._app = app
        self._record = record

    def handle(self, request: Request) -> Response:
        request_id = self._served.harness.id_of(request, self._name, "request id of a served stack")
        others = tuple(line for line in request.headers if line[0].lower() != REQUEST_ID_HEADER)
        request = replace(request, headers=(*others, (REQUEST_ID_HEADER, request_id)))
        try:
            response = self._served.answer(self._app, request)
        except NetworkUnreachable as unreachable:
            self._keep(request, request_id, unreachable)
            raise
        self._keep(request, request_id, response.status)
        if response.header(REQUEST_ID_HEADER) is not None:
            return response
        return replace(response, headers=(*response.headers, (REQUEST_ID_HEADER, request_id)))

    def _keep(self, request: Request, request_id: str, status: int | NetworkUnreachable) -> None:
        self._record.keep(self._name, request, status)
        if self._served.log is not None:
            told = status if isinstance(status, int) else "no answer"
            plane = "gateway" if self._name == "gateway" else "control"
            self._served.log(f"plane={plane} oa_req={request_id} {request.method} {request.path} {told}")

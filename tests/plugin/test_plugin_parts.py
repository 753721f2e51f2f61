"""A part that somebody puts in is what is tested, in every test and by count; or nothing is signed."""

from __future__ import annotations

import pytest
from plugin_project import Project

HEAD = """\
import pytest
from pytest_l402.evidence import paid_exactly_once, some_record

pytestmark = pytest.mark.rehearsal("{name}", runbook="book", section="{section}")
"""
ALPHA = """
def test_alpha(l402_executor, l402_evidence):
    purchase = l402_executor.buy("/premium")
    l402_evidence.verify(paid_exactly_once(purchase).proves("1.free"))
"""
# Names neither wallet nor gateway nor buyer, and has a client of its own.
BETA = """
def test_beta(l402_stack, l402_evidence):
    bought = l402_stack.forger().buy("/premium")
    l402_evidence.verify(paid_exactly_once(bought).proves("2.free"))
"""
# Names the stack neither: a fixture asks for it.
GAMMA = """
def test_gamma(l402_reconcile, l402_evidence):
    l402_reconcile("request-1")
    l402_evidence.verify(some_record(plane="gateway").proves("2.free"))
"""
OWN = """\
import pytest

class Mine:
    '''Passes everything on; what it says of itself is nobody's proof.'''
    def __init__(self, inner):
        self.inner = inner
    def __getattr__(self, name):
        return getattr(self.inner, name)

class Wallet(Mine):
    def pay_invoice(self, *told, **named):
        return self.inner.pay_invoice(*told, **named)

class Buyer(Mine):
    def buy(self, *told, **named):
        return self.inner.buy(*told, **named)

class Gateway(Mine):
    def handle(self, request):
        return self.inner.handle(request)

class Store(Mine):
    def ingest(self, event):
        return self.inner.ingest(event)

"""
GATEWAY = "@pytest.fixture\ndef l402_gateway(l402_stack):\n    return Gateway(l402_stack.gateway)\n\n"
ALL = GATEWAY + (
    "@pytest.fixture\ndef l402_wallet(l402_stack):\n    return Wallet(l402_stack.wallet)\n\n"
    "@pytest.fixture\ndef l402_settlement_store(l402_stack):\n"
    "    return Store(l402_stack.settlement_store)\n\n"
    "@pytest.fixture\ndef l402_executor(l402_executor):\n    return Buyer(l402_executor)\n\n"
)


def head(rehearsal):
    return HEAD.format(name=rehearsal, section={"alpha": "1", "beta": "2"}[rehearsal])


def parts_of(end, role=None):
    (system,) = {entry["name"]: entry for entry in end.document["systems"]}.values()
    return [
        (part["role"], part["name"], part["tests"], part["requests"])
        for part in system["parts"]
        if not part["ours"] and role in (None, part["role"])
    ]


def reasons(end):
    return [entry["text"] for entry in end.document["reasons"] if entry["code"] == "part-unused"]


@pytest.fixture
def stacked(project: Project) -> Project:
    project.write("rehearsals/test_alpha.py", head("alpha") + ALPHA)
    project.write("rehearsals/test_beta.py", head("beta") + BETA)
    return project


def test_parts_that_no_test_names_play_in_every_test_and_are_counted(stacked: Project) -> None:
    stacked.write("conftest.py", OWN + ALL)
    stacked.write("rehearsals/test_beta.py", head("beta") + BETA + GAMMA)
    end = stacked.run("-m", "rehearsal")
    assert end.verdict == "SIGNED_OFF", end.output
    counted = {role: (name, tests, requests) for role, name, tests, requests in parts_of(end)}
    assert {role: (name, tests) for role, (name, tests, _) in counted.items()} == {
        "gateway": ("Gateway", 3),
        "wallet": ("Wallet", 3),
        "settlement store": ("Store", 3),
        "buyer": ("Buyer", 3),
    }
    # Asked and paid in two tests; probed, challenged and paid by the reconcile in the third.
    assert counted["gateway"][2] > 4
    assert (counted["wallet"][2], counted["buyer"][2]) == (3, 1)
    said = " ".join(end.output.split())
    assert (
        f"gateway: Gateway (conftest.py, in no installed package), {counted['gateway'][2]} requests" in said
    )
    assert "buyer: Buyer (conftest.py, in no installed package), 1 request" in said


@pytest.mark.parametrize(
    ("put_in", "name"),
    [
        pytest.param(
            "@pytest.fixture(autouse=True)\ndef _(l402_stack):\n"
            "    l402_stack.replace(gateway=Gateway(l402_stack.gateway))\n",
            "Gateway",
            id="replaced",
        ),
        pytest.param(
            "@pytest.fixture(autouse=True)\ndef _(l402_stack, monkeypatch):\n"
            "    handle = l402_stack.gateway.handle\n"
            "    monkeypatch.setattr(l402_stack.gateway, 'handle', lambda request: handle(request))\n",
            "Gateway with another handle",
            id="patched",
        ),
        pytest.param(
            "@pytest.fixture\ndef l402_gateway(l402_gateway, monkeypatch):\n"
            "    handle = l402_gateway.handle\n"
            "    monkeypatch.setattr(l402_gateway, 'handle', lambda request: handle(request))\n"
            "    return l402_gateway\n",
            "Gateway with another handle",
            id="patched-in-its-fixture",
        ),
        pytest.param(
            "from pytest_l402.stack import Gateway as Theirs\n\nclass Sub(Theirs):\n    pass\n\n"
            "@pytest.fixture(autouse=True)\ndef _(l402_stack):\n    l402_stack.gateway.__class__ = Sub\n",
            "Sub",
            id="of-another-class",
        ),
        pytest.param(
            "@pytest.fixture(autouse=True)\ndef _(monkeypatch):\n"
            "    from pytest_l402.stack import Gateway as Theirs\n    handle = Theirs.handle\n"
            "    monkeypatch.setattr(Theirs, 'handle', lambda self, request: handle(self, request))\n",
            "Gateway with another handle",
            id="patched-in-its-class",
        ),
        pytest.param(
            "@pytest.fixture(scope='module')\ndef shared():\n    return Gateway(None)\n\n"
            "@pytest.fixture\ndef l402_gateway(l402_stack, shared):\n"
            "    shared.inner = l402_stack.gateway\n    return shared\n",
            "Gateway",
            id="of-a-module",
        ),
    ],
)
def test_however_it_is_put_in_it_is_named_and_counted(stacked: Project, put_in: str, name: str) -> None:
    stacked.write("conftest.py", OWN + put_in)
    end = stacked.run("-m", "rehearsal")
    assert end.verdict == "SIGNED_OFF", end.output
    assert parts_of(end, "gateway") == [("gateway", name, 2, 4)]


def test_a_part_of_one_test_alone_is_not_signed_off(stacked: Project) -> None:
    stacked.write("rehearsals/test_alpha.py", head("alpha") + OWN + GATEWAY + ALPHA)
    end = stacked.run("-m", "rehearsal")
    assert (end.exit, end.verdict) == (1, "NOT_SIGNED_OFF")
    assert reasons(end) == [
        "gateway: Gateway (rehearsals/test_alpha.py) was put in, and was not what was tested in 1 of 2 tests "
        "of pytest-l402 stand-in stack: Gateway of pytest-l402 0.1.0 played in "
        "rehearsals/test_beta.py::test_beta; put it in where all of them see it"
    ]
    assert "was put in, and was not what was tested in 1 of 2 tests" in " ".join(end.output.split())


def test_a_gateway_that_is_never_asked_is_not_signed_off(stacked: Project) -> None:
    past_it = (
        "class PastIt:\n"
        "    def __init__(self, stack):\n        self.stack, self.ours = stack, stack.gateway\n"
        "    def handle(self, request):\n        raise RuntimeError('never asked')\n\n"
        "@pytest.fixture\ndef l402_gateway(l402_stack, monkeypatch):\n"
        "    mine = PastIt(l402_stack)\n"
        "    monkeypatch.setattr(l402_stack.edge, '_gateway', mine.ours)\n"
        "    return mine\n"
    )
    stacked.write("conftest.py", "import pytest\n\n" + past_it)
    end = stacked.run("-m", "rehearsal")
    assert (end.exit, end.verdict) == (1, "NOT_SIGNED_OFF"), end.output
    (reason,) = reasons(end)
    assert reason == (
        "gateway: PastIt (conftest.py) was put in, and 0 requests reached it in 2 tests of "
        "pytest-l402 stand-in stack"
    )


def test_a_wallet_that_the_own_buyer_does_not_use_is_not_signed_off(stacked: Project) -> None:
    own = (
        "@pytest.fixture\ndef l402_wallet(l402_stack):\n    return Wallet(l402_stack.wallet)\n\n"
        "class Client:\n"
        "    def __init__(self, stack, wallet):\n        self.inner = stack.executor_at(stack.client)\n"
        "        self.inner._wallet = wallet\n        self.inner.start()\n"
        "    def buy(self, path):\n        return self.inner.buy(path)\n\n"
        "@pytest.fixture\ndef l402_executor(l402_stack):\n"
        "    return Client(l402_stack, l402_stack.wallet)\n"
    )
    stacked.write("conftest.py", OWN + own)
    stacked.write("rehearsals/test_beta.py", head("beta") + ALPHA.replace("1.free", "2.free"))
    end = stacked.run("-m", "rehearsal")
    assert (end.exit, end.verdict) == (1, "NOT_SIGNED_OFF"), end.output
    assert [text.partition(" was ")[0] for text in reasons(end)] == ["wallet: Wallet (conftest.py)"]
    assert "0 requests reached it" in reasons(end)[0]


def test_a_stack_that_is_asked_for_underway_is_refused_where_a_part_is_put_in(stacked: Project) -> None:
    stacked.write("conftest.py", OWN + GATEWAY)
    late = (
        "def test_beta(request, l402_evidence):\n"
        "    bought = request.getfixturevalue('l402_stack').forger().buy('/premium')\n"
        "    l402_evidence.verify(paid_exactly_once(bought).proves('2.free'))\n"
    )
    stacked.write("rehearsals/test_beta.py", head("beta") + late)
    end = stacked.run("-m", "rehearsal")
    assert end.verdict == "NOT_SIGNED_OFF"
    assert "expected l402_gateway in the stack, saw a stack without it" in " ".join(end.output.split())


def test_the_first_test_of_a_run_has_it_too_although_it_is_no_rehearsal(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(OWN + GATEWAY)
    pytester.makepyfile(
        """
        def test_it(l402_stack):
            assert l402_stack.gateway.inner is not None
        """
    )
    pytester.runpytest("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_a_fixture_that_forgets_to_return_its_part_does_not_test_ours(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture
        def l402_gateway(l402_stack):
            object()
        """
    )
    pytester.makepyfile(
        """
        def test_first(l402_stack):
            pass

        def test_second(l402_stack):
            pass
        """
    )
    ended = pytester.runpytest("-p", "no:cacheprovider")
    assert sum(ended.parseoutcomes().get(end, 0) for end in ("failed", "error", "errors")) == 2
    ended.stdout.fnmatch_lines(["*l402_gateway: expected what plays the gateway, saw None*"])


def test_a_wrapper_that_bears_our_name_is_somebodys(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        OWN
        + """
import functools
from pytest_l402.plugin.fixtures import stack as ours

def wrapped(l402_stack):
    return Gateway(l402_stack.gateway)

l402_gateway = pytest.fixture(functools.wraps(ours.l402_gateway.__wrapped__)(wrapped), name="l402_gateway")
"""
    )
    pytester.makepyfile(
        """
        def test_it(l402_stack):
            assert l402_stack.gateway.inner is not None

        def test_again(l402_stack):
            assert l402_stack.gateway.inner is not None
        """
    )
    pytester.runpytest("-p", "no:cacheprovider").assert_outcomes(passed=2)

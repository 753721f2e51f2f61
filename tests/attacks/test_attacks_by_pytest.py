"""Ways to a wrong green by way of pytest itself: its hooks, its options, threads, clocks and its end.

Each way leaves a full run that must not be signed off. None may leave a `signoff.json`, a terminal that says
SIGNED OFF or an exit code of 0, and each must be named where a person or a gate reads it.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

import pytest
from plugin_project import End, Project
from tiers import sampled

from pytest_l402.plugin import clock
from pytest_l402.plugin.clock import contradiction

ALPHA = "rehearsals/test_alpha.py"
BETA = "rehearsals/test_beta.py"
UNIT = "tests/test_unit.py"
DRILL = 'drill(l402_evidence, "1.free")'
MARKED = ("-m", "rehearsal")


@dataclass(frozen=True)
class Way:
    """One attempt: what is changed in the project, how pytest is called, and what must be said of it."""

    name: str
    told: str
    conftest: str = ""
    edits: tuple[tuple[str, str, str], ...] = ()
    args: tuple[str, ...] = MARKED
    files: tuple[tuple[str, str], ...] = ()
    is_document_left: bool = True
    """Whether the run may still write a refusal; a usage error leaves nothing."""


def then(text: str) -> tuple[str, str, str]:
    """Append statements to the test of alpha."""
    return ALPHA, DRILL, f"{DRILL}\n    " + text.replace("\n", "\n    ")


def around(decorator: str) -> tuple[str, str, str]:
    """Decorate the test of alpha."""
    return ALPHA, "def test_alpha", f"import functools\n\n{decorator}\n\n@decorated\ndef test_alpha"


FAILS = then('assert False, "not as it must be"')
FLAKY = (
    (ALPHA, "def test_alpha", "attempts = []\n\ndef test_alpha"),
    then("attempts.append(1)\nassert len(attempts) == 2"),
)
WRAPPER = "import pytest\n\n@pytest.hookimpl(wrapper=True{order})\ndef {hook}(item):\n"
SWALLOW = "    try:\n        return (yield)\n    except BaseException:\n        return {value}\n"


def swallowing(hook: str, *, order: str = "", value: str = "None", argument: str = "item") -> str:
    opening = WRAPPER.format(hook=hook, order=order).replace("(item)", f"({argument})")
    return opening + SWALLOW.format(value=value)


ONLY_ALPHA = 'if "test_alpha" not in str(report.nodeid):\n        return'
BROKEN_SETUP = (
    ALPHA,
    "def test_alpha",
    "@pytest.fixture(autouse=True)\ndef broken():\n    assert False, 'no system'\n\ndef test_alpha",
)
BROKEN_TEARDOWN = (
    ALPHA,
    "def test_alpha",
    "@pytest.fixture(autouse=True)\ndef broken():\n    yield\n    assert False, 'left'\n\ndef test_alpha",
)

SWALLOWED = [
    Way(
        "pytest_pyfunc_call: a wrapper swallows",
        "swallowed",
        swallowing("pytest_pyfunc_call", value="True", argument="pyfuncitem"),
        (FAILS,),
    ),
    Way(
        "pytest_pyfunc_call: an old wrapper forces a result",
        "swallowed",
        """
import pytest

@pytest.hookimpl(hookwrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    outcome = yield
    outcome.force_result(True)
""",
        (FAILS,),
    ),
    Way(
        "pytest_pyfunc_call: done without a call",
        "was not called",
        """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    from drilling import drill
    if pyfuncitem.name == "test_alpha":
        drill(pyfuncitem.funcargs["l402_evidence"], "1.free")
        return True
""",
    ),
    Way(
        "pytest_pyfunc_call: called until it passes",
        "ran 2 times",
        """
def pytest_pyfunc_call(pyfuncitem):
    names = pyfuncitem._fixtureinfo.argnames
    while True:
        try:
            pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
            return True
        except AssertionError:
            pass
""",
        FLAKY,
    ),
    Way(
        "pytest_pyfunc_call: called once more than pytest does",
        "ran 2 times",
        """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    names = pyfuncitem._fixtureinfo.argnames
    try:
        pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
    except AssertionError:
        pass
""",
        FLAKY,
    ),
    Way(
        "pytest_pyfunc_call: another function in the item's place",
        "was not called",
        """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    from drilling import drill
    if pyfuncitem.name == "test_alpha":
        pyfuncitem.obj = lambda l402_evidence: drill(l402_evidence, "1.free")
""",
        (FAILS,),
    ),
    Way(
        "pytest_runtest_call: swallowed inside of all",
        "swallowed",
        swallowing("pytest_runtest_call", order=", trylast=True"),
        (FAILS,),
    ),
    Way(
        "pytest_runtest_call: a skip is swallowed",
        "swallowed",
        swallowing("pytest_runtest_call"),
        (then('pytest.skip("not today")'),),
    ),
    Way(
        "pytest_runtest_call: an expected failure is swallowed",
        "swallowed",
        swallowing("pytest_runtest_call", order=", trylast=True"),
        (then('pytest.xfail("known")'),),
    ),
    Way(
        "item.runtest: does nothing",
        "was not called",
        """
def pytest_runtest_setup(item):
    from drilling import drill
    if item.name == "test_alpha":
        item.runtest = lambda: drill(item.funcargs["l402_evidence"], "1.free")
""",
        (FAILS,),
    ),
    Way(
        "item.runtest: swallows",
        "swallowed",
        """
import contextlib

def pytest_collection_modifyitems(items):
    for item in items:
        def runtest(original=item.runtest):
            with contextlib.suppress(AssertionError):
                original()
        item.runtest = runtest
""",
        (FAILS,),
    ),
    Way(
        "item.obj: another function from the beginning",
        "was not called",
        """
def pytest_collection_modifyitems(items):
    from drilling import drill
    for item in items:
        if item.name == "test_alpha":
            item.obj = lambda l402_evidence: drill(l402_evidence, "1.free")
""",
        (FAILS,),
    ),
    Way(
        "item.obj: a function around it that swallows",
        "swallowed",
        """
import functools

def pytest_collection_modifyitems(items):
    for item in items:
        def around(function):
            @functools.wraps(function)
            def wrapper(**arguments):
                try:
                    function(**arguments)
                except AssertionError:
                    pass
            return wrapper
        if item.name == "test_alpha":
            item.obj = around(item.obj)
""",
        (FAILS,),
    ),
    Way(
        "a decorator swallows",
        "swallowed",
        edits=(
            FAILS,
            around(
                "def decorated(function):\n"
                "    @functools.wraps(function)\n"
                "    def wrapper(*args, **kwargs):\n"
                "        try:\n"
                "            return function(*args, **kwargs)\n"
                "        except AssertionError:\n"
                "            pass\n"
                "    return wrapper"
            ),
        ),
    ),
    Way(
        "a decorator swallows whatever verify raises",
        "expected nothing paid",
        edits=(
            (ALPHA, DRILL, 'drill(l402_evidence, "1.free", paidAmountMsats=7)'),
            around(
                "import contextlib\n\n"
                "def decorated(function):\n"
                "    @functools.wraps(function)\n"
                "    def wrapper(*args, **kwargs):\n"
                "        with contextlib.suppress(BaseException):\n"
                "            function(*args, **kwargs)\n"
                "    return wrapper"
            ),
        ),
    ),
    Way(
        "a decorator tries again",
        "ran 2 times",
        edits=(
            *FLAKY,
            around(
                "def decorated(function):\n"
                "    @functools.wraps(function)\n"
                "    def wrapper(*args, **kwargs):\n"
                "        try:\n"
                "            return function(*args, **kwargs)\n"
                "        except AssertionError:\n"
                "            return function(*args, **kwargs)\n"
                "    return wrapper"
            ),
        ),
    ),
    Way(
        "a decorator below another one tries again",
        "ran 2 times",
        edits=(
            *FLAKY,
            around(
                "def again(function):\n"
                "    @functools.wraps(function)\n"
                "    def wrapper(*args, **kwargs):\n"
                "        try:\n"
                "            return function(*args, **kwargs)\n"
                "        except AssertionError:\n"
                "            return function(*args, **kwargs)\n"
                "    return wrapper\n\n"
                "def plain(function):\n"
                "    @functools.wraps(function)\n"
                "    def wrapper(*args, **kwargs):\n"
                "        return function(*args, **kwargs)\n"
                "    return wrapper\n\n"
                "def decorated(function):\n"
                "    return plain(again(function))"
            ),
        ),
    ),
    Way(
        "a decorator that is a class swallows",
        "swallowed",
        edits=(
            FAILS,
            around(
                "import contextlib\n\n"
                "class Suppressing(contextlib.ContextDecorator):\n"
                "    def __enter__(self):\n"
                "        return self\n\n"
                "    def __exit__(self, *error):\n"
                "        return True\n\n"
                "decorated = Suppressing()"
            ),
        ),
    ),
    Way(
        "a decorator whose object is called tries again",
        "ran 2 times",
        edits=(
            *FLAKY,
            around(
                "class decorated:\n"
                "    def __init__(self, function):\n"
                "        functools.update_wrapper(self, function)\n"
                "        self.function = function\n\n"
                "    def __call__(self, *args, **kwargs):\n"
                "        try:\n"
                "            return self.function(*args, **kwargs)\n"
                "        except AssertionError:\n"
                "            return self.function(*args, **kwargs)"
            ),
        ),
    ),
    Way(
        "pytest_runtest_call: the item runs once more",
        "ran 2 times",
        """
import contextlib, pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    with contextlib.suppress(AssertionError):
        item.runtest()
""",
        FLAKY,
    ),
    Way(
        "pytest_pycollect_makeitem: an item of another function",
        "was not called",
        """
import pytest

def pytest_pycollect_makeitem(collector, name, obj):
    from drilling import drill
    if name == "test_alpha":
        other = lambda l402_evidence: drill(l402_evidence, "1.free")
        return [pytest.Function.from_parent(collector, name=name, callobj=other)]
""",
        (FAILS,),
    ),
    Way(
        "a retry of pytest-rerunfailures by mark",
        "more than one attempt",
        edits=(
            (ALPHA, "def test_alpha", "attempts = []\n\n@pytest.mark.flaky(reruns=2)\ndef test_alpha"),
            FLAKY[1],
        ),
    ),
    Way(
        "the test expects that verify fails",
        "expected nothing paid",
        edits=(
            (
                ALPHA,
                DRILL,
                "with pytest.raises(pytest.fail.Exception):\n"
                '        drill(l402_evidence, "1.free", paidAmountMsats=7)',
            ),
        ),
    ),
    Way(
        "the test suppresses what verify raises, and verifies something else",
        "expected nothing paid",
        edits=(
            (
                ALPHA,
                DRILL,
                "import contextlib\n"
                "    with contextlib.suppress(BaseException):\n"
                '        drill(l402_evidence, "1.free", paidAmountMsats=7)\n'
                f"    {DRILL}",
            ),
        ),
    ),
    Way(
        "a method that is swallowed",
        "swallowed",
        swallowing("pytest_pyfunc_call", value="True", argument="pyfuncitem"),
        (
            (ALPHA, "def test_alpha(l402_evidence)", "class TestIt:\n  def test_alpha(self, l402_evidence)"),
            FAILS,
        ),
    ),
    Way(
        "a subtest of unittest",
        "is not 2",
        edits=(
            (
                ALPHA,
                "def test_alpha(l402_evidence):\n    " + DRILL,
                "import unittest\n\n"
                "class TestIt(unittest.TestCase):\n"
                "    @pytest.fixture(autouse=True)\n"
                "    def asked(self, l402_evidence):\n"
                "        self.evidence = l402_evidence\n\n"
                "    def test_alpha(self):\n"
                '        drill(self.evidence, "1.free")\n'
                "        with self.subTest():\n"
                "            self.assertIs(1, 2)",
            ),
        ),
    ),
    Way(
        "setup: swallowed inside of all",
        "swallowed",
        swallowing("pytest_runtest_setup", order=", trylast=True"),
        (BROKEN_SETUP,),
    ),
    Way(
        "teardown: swallowed inside of all",
        "swallowed",
        swallowing("pytest_runtest_teardown", order=", trylast=True"),
        (BROKEN_TEARDOWN,),
    ),
    Way(
        "teardown: reported as passed",
        "failed in teardown",
        """
import pytest

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    report = yield
    if report.when == "teardown":
        report.outcome, report.longrepr = "passed", None
    return report
""",
        (BROKEN_TEARDOWN,),
    ),
    Way(
        "teardown: reported as passed by the first that is asked",
        "failed in teardown",
        """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = pytest.TestReport.from_item_and_call(item, call)
    report.outcome, report.longrepr = "passed", None
    return report
""",
        (BROKEN_TEARDOWN,),
    ),
    Way(
        "teardown: turned into a pass where reports are logged",
        "failed in teardown",
        """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report):
    report.outcome, report.longrepr = "passed", None
""",
        (BROKEN_TEARDOWN,),
    ),
    Way(
        "teardown: what was raised is taken from the call before it is reported",
        "failed in teardown",
        """
import pytest

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(call):
    call.excinfo = None
    return (yield)
""",
        (BROKEN_TEARDOWN,),
    ),
    Way(
        "call: what was raised is taken from the call before it is reported",
        "failed in call",
        """
import pytest

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(call):
    call.excinfo = None
    return (yield)
""",
        (FAILS,),
    ),
    Way(
        "setup: reported as passed",
        "failed in setup",
        """
import pytest

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    report = yield
    report.outcome, report.longrepr = "passed", None
    return report
""",
        (BROKEN_SETUP,),
    ),
    Way(
        "call: what is swallowed is reported as passed as well",
        "failed in call",
        swallowing("pytest_pyfunc_call", value="True", argument="pyfuncitem")
        + """
@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    report = yield
    report.outcome, report.longrepr = "passed", None
    return report
""",
        (FAILS,),
    ),
    Way(
        "protocol: replaced by one without a hook",
        "no check",
        """
import pytest

def pytest_runtest_protocol(item, nextitem):
    for when in ("setup", "call", "teardown"):
        if when == "call":
            item.session._setupstate.setup(item)
            item.runtest()
        call = pytest.CallInfo.from_call(lambda: None, when)
        item.ihook.pytest_runtest_logreport(report=pytest.TestReport.from_item_and_call(item, call))
    item.session._setupstate.teardown_exact(nextitem)
    return True
""",
    ),
    Way(
        "protocol: repeated without a report",
        "more than one attempt",
        """
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    runtestprotocol(item, log=False, nextitem=nextitem)
    runtestprotocol(item, log=True, nextitem=nextitem)
    return True
""",
        FLAKY,
    ),
]

RAISING = "import threading\nthread = threading.Thread(target=lambda: 1 / 0)\nthread.start()\nthread.join()"
LEAKY = "class Leaky:\n    def __del__(self):\n        1 / 0\n\n"
GATE = (("gate.py", "import threading\n\nopened = threading.Event()\nthreads = []\nkept = []\n"),)
LATE = (
    "import threading, gate\n\ndef late():\n    gate.opened.wait()\n    1 / 0\n\n"
    "gate.threads.append(threading.Thread(target=late))\ngate.threads[0].start()"
)
OPEN = "import gate\n    gate.opened.set()\n    gate.threads[0].join()"
LATER_UNIT = ("zz_later/test_later.py", f"def test_later():\n    {OPEN}\n")
WITH_LATER = ("pyproject.toml", '"rehearsals"]', '"rehearsals", "zz_later"]')

ESCAPED = [
    Way(
        "a thread raises in a later test that is no rehearsal",
        "test_alpha failed in teardown",
        edits=(then(LATE), WITH_LATER),
        files=(*GATE, LATER_UNIT),
        args=(),
    ),
    Way(
        "a thread raises in a fixture of the session that is torn down",
        "test_alpha failed in teardown",
        """
import pytest

@pytest.fixture(scope="session", autouse=True)
def waiting():
    yield
    import gate
    gate.opened.set()
    gate.threads[0].join()
""",
        (then(LATE), WITH_LATER),
        files=(*GATE, ("zz_later/test_later.py", "def test_later():\n    pass\n")),
        args=(),
    ),
    Way(
        "a thread raises at the end of the session",
        "test_alpha failed in teardown",
        """
def pytest_sessionfinish():
    import gate
    gate.opened.set()
    gate.threads[0].join()
""",
        (then(LATE),),
        files=GATE,
    ),
    Way(
        "a thread raises after the end of the session",
        "still ran when the run ended",
        """
def pytest_unconfigure():
    import gate
    gate.opened.set()
    gate.threads[0].join()
""",
        (then(LATE),),
        files=GATE,
    ),
    Way(
        "a thread raises, and a wrapper has every warning ignored",
        "test_alpha failed in",
        """
import pytest, warnings

@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item):
    warnings.simplefilter("ignore")
    return (yield)

@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_teardown(item):
    warnings.simplefilter("ignore")
    return (yield)
""",
        (then(RAISING),),
    ),
    Way(
        "a thread raises where the test has put a hook of its own",
        "would not have been seen",
        edits=(then("import threading\nthreading.excepthook = lambda arguments: None\n" + RAISING),),
        conftest="""
import threading

hook = threading.excepthook

def pytest_unconfigure():
    threading.excepthook = hook
""",
    ),
    Way(
        "a thread of the plainest kind raises",
        "test_alpha failed in",
        edits=(
            then(
                "import _thread, threading\ndone = threading.Event()\n\n"
                "def fail():\n    try:\n        1 / 0\n"
                "    finally:\n        done.set()\n\n_thread.start_new_thread(fail, ())\ndone.wait()"
            ),
        ),
    ),
    Way(
        "a task fails and nobody asks",
        "test_alpha failed in teardown",
        edits=(
            then(
                "import asyncio\n\nasync def fail():\n    1 / 0\n\n"
                "async def main():\n    task = asyncio.ensure_future(fail())\n    await asyncio.sleep(0)\n"
                "    await asyncio.sleep(0)\n\nasyncio.run(main())"
            ),
        ),
    ),
    Way(
        "a finaliser fails that only the garbage collector runs",
        "test_alpha failed in teardown",
        edits=(
            then(
                "class Leaky:\n    def __del__(self):\n        1 / 0\n\nleaky = Leaky()\nleaky.itself = leaky"
            ),
        ),
    ),
    Way(
        "a finaliser fails in a later test that is no rehearsal",
        "test_alpha failed in teardown",
        edits=(
            then("import gate\n\n" + LEAKY + "gate.kept.append(Leaky())"),
            WITH_LATER,
        ),
        files=(
            *GATE,
            ("zz_later/test_later.py", "def test_later():\n    import gate\n    gate.kept.clear()\n"),
        ),
        args=(),
    ),
    Way(
        "a generator fails when it is closed in a later test",
        "test_alpha failed in teardown",
        edits=(
            then(
                "import gate\n\ndef rows():\n    try:\n        yield\n    finally:\n        1 / 0\n\n"
                "gate.kept.append(rows())\nnext(gate.kept[0])"
            ),
            WITH_LATER,
        ),
        files=(
            *GATE,
            ("zz_later/test_later.py", "def test_later():\n    import gate\n    gate.kept.clear()\n"),
        ),
        args=(),
    ),
    Way(
        "a finaliser fails while the run ends",
        "test_alpha failed in teardown",
        """
def pytest_unconfigure():
    import gate
    gate.kept.clear()
""",
        (then("import gate\n\n" + LEAKY + "gate.kept.append(Leaky())"),),
        files=GATE,
    ),
]

EXPIRED = (("waivers.yaml", "- {rehearsal: alpha, owner: ops, reason: known, until: 2020-01-15}\n"),)
WAIVED = (*MARKED, "--l402-waivers=waivers.yaml")
VIOLATED = (ALPHA, DRILL, 'drill(l402_evidence, "1.free", paidAmountMsats=7)')

CLOCKS = [
    Way(
        "freezegun in a conftest.py revives a waiver",
        "ended on 2020-01-15",
        """
from freezegun import freeze_time

frozen = freeze_time("2020-01-10")
frozen.start()

def pytest_unconfigure():
    frozen.stop()
""",
        (VIOLATED,),
        WAIVED,
        EXPIRED,
    ),
    Way(
        "time.time in a conftest.py revives a waiver",
        "ended on 2020-01-15",
        """
import time

real = time.time, time.time_ns
time.time, time.time_ns = lambda: 1578614400.0, lambda: 1578614400 * 10**9

def pytest_unconfigure():
    time.time, time.time_ns = real
""",
        (VIOLATED,),
        WAIVED,
        EXPIRED,
    ),
    Way(
        "another clock of the system revives a waiver",
        "ended on 2020-01-15",
        """
import time

real = time.clock_gettime, time.clock_gettime_ns
time.clock_gettime, time.clock_gettime_ns = lambda _: 1578614400.0, lambda _: 1578614400 * 10**9

def pytest_unconfigure():
    time.clock_gettime, time.clock_gettime_ns = real
""",
        (VIOLATED,),
        WAIVED,
        EXPIRED,
    ),
    Way(
        "another datetime revives a waiver",
        "ended on 2020-01-15",
        """
import datetime

real = datetime.datetime

class Then(real):
    @classmethod
    def now(cls, zone=None):
        return real(2020, 1, 10, tzinfo=zone)

def pytest_configure():
    import pytest_l402.plugin.preparation as preparation
    datetime.datetime = Then
    if hasattr(preparation, "datetime"):
        preparation.datetime = Then

def pytest_unconfigure():
    import pytest_l402.plugin.preparation as preparation
    datetime.datetime = real
    if hasattr(preparation, "datetime"):
        preparation.datetime = real
""",
        (VIOLATED,),
        WAIVED,
        EXPIRED,
    ),
]

OURS = (
    "pytest_l402_controller",
    "pytest_l402_nodes",
    "pytest_l402_innermost",
    "pytest_l402_selection",
    "pytest_l402_evidence_fixtures",
)

PULLED = "\ndef {hook}(config):\n    manager = config.pluginmanager\n    manager.unregister(name={name!r})\n"
AT_START = "import pytest\n\n@pytest.hookimpl(trylast=True)" + PULLED
AT_SESSION = "\ndef {hook}(session):\n    session.config.pluginmanager.unregister(name={name!r})\n"
AT_ITEM = """
def {hook}(item):
    if item.config.pluginmanager.hasplugin({name!r}):
        item.config.pluginmanager.unregister(name={name!r})
"""

SWITCHED_OFF = [
    *(
        Way(
            f"-p no:{name}{'' if args else ', in a run of all tests'}",
            f"-p no:{name}: expected",
            args=(*args, "-p", f"no:{name}"),
            is_document_left=False,
        )
        for name in OURS
        for args in (MARKED, ())
    ),
    Way(
        "a conftest.py blocks the controller",
        "expected",
        "def pytest_configure(config):\n    config.pluginmanager.set_blocked('pytest_l402_controller')\n",
        is_document_left=False,
    ),
    Way(
        "a conftest.py takes the controller out at the start",
        "pytest_l402_controller",
        AT_START.format(hook="pytest_configure", name="pytest_l402_controller"),
        args=(),
        is_document_left=False,
    ),
    Way(
        "a conftest.py takes the selection out at the start",
        "pytest_l402_selection",
        AT_START.format(hook="pytest_configure", name="pytest_l402_selection"),
        args=(),
        is_document_left=False,
    ),
    Way(
        "a conftest.py takes the controller out after the collection",
        "pytest_l402_controller",
        AT_SESSION.format(hook="pytest_collection_finish", name="pytest_l402_controller"),
        is_document_left=False,
    ),
    Way(
        "a conftest.py takes the controller out at the end",
        "pytest_l402_controller",
        "import pytest\n\n@pytest.hookimpl(tryfirst=True)"
        + AT_SESSION.format(hook="pytest_sessionfinish", name="pytest_l402_controller"),
    ),
    Way(
        "a conftest.py takes the nodes out after the collection",
        "pytest_l402_nodes",
        AT_SESSION.format(hook="pytest_collection_finish", name="pytest_l402_nodes"),
    ),
    Way(
        "a conftest.py takes the nodes out before the last teardown",
        "pytest_l402_nodes",
        "import pytest\n\n@pytest.hookimpl(trylast=True)"
        + AT_ITEM.format(hook="pytest_runtest_call", name="pytest_l402_nodes"),
    ),
    Way(
        "a conftest.py takes the witnesses out",
        "pytest_l402_innermost",
        AT_ITEM.format(hook="pytest_runtest_setup", name="pytest_l402_innermost"),
    ),
    Way(
        "a conftest.py takes pytest's own watcher out",
        "threadexception",
        "def pytest_collection_finish(session):\n"
        "    session.config.pluginmanager.unregister(name='threadexception')\n",
    ),
    Way(
        "a conftest.py gives the run other settings",
        "settings",
        """
def pytest_collection_finish(session):
    from pytest_l402.plugin.run import RUN
    run = session.config.stash[RUN]
    session.config.stash[RUN] = run._replace(run_id="20200101T000000Z-11111111")
""",
    ),
]

SESSION = "\n@pytest.hookimpl(wrapper=True, tryfirst=True)\ndef pytest_sessionfinish(session):\n"
KEEP = "import pytest\n\nsessions = []\n\ndef pytest_sessionstart(session):\n    sessions.append(session)\n"
SKIPPED = then('pytest.skip("not today")')

ENDINGS = [
    Way(
        "after the conclusion a hook takes the failure back",
        "was skipped (not today)",
        "import pytest\n" + SESSION + "    yield\n    session.exitstatus = 0\n",
        (SKIPPED,),
    ),
    Way(
        "while the run is taken down a hook takes the failure back",
        "was skipped (not today)",
        KEEP + "\ndef pytest_unconfigure():\n    sessions[0].exitstatus = 0\n",
        (SKIPPED,),
    ),
    Way(
        "while the run is taken down a hook takes back that a drill failed",
        "not as it must be",
        KEEP + "\ndef pytest_unconfigure():\n    sessions[0].exitstatus = 0\n",
        (FAILS,),
        (*MARKED, "-k", "alpha"),
    ),
    Way(
        "at the very end a cleanup takes the failure back",
        "was skipped (not today)",
        KEEP
        + "\ndef pytest_runtest_setup(item):\n"
        + "    item.config.add_cleanup(lambda: setattr(sessions[0], 'exitstatus', 0))\n",
        (SKIPPED,),
    ),
    Way(
        "a cleanup that is older than any of ours takes the failure back",
        "was skipped (not today)",
        KEEP
        + "\n@pytest.hookimpl(tryfirst=True)\ndef pytest_configure(config):\n"
        + "    config.add_cleanup(lambda: setattr(sessions[0], 'exitstatus', 0))\n",
        (SKIPPED,),
    ),
    Way(
        "while the run is taken down a hook fails it",
        "exit status 7",
        KEEP + "\ndef pytest_unconfigure():\n    sessions[0].exitstatus = 7\n",
    ),
    Way(
        "after the conclusion a hook fails the run",
        "exit status 7",
        "import pytest\n" + SESSION + "    yield\n    session.exitstatus = 7\n",
    ),
    Way(
        "while the run is taken down a hook breaks",
        "broken at last",
        "def pytest_unconfigure():\n    raise RuntimeError('broken at last')\n",
    ),
    Way(
        "while the run is taken down a hook changes the document",
        "changed since it was listed",
        """
def pytest_unconfigure(config):
    for file in (config.rootpath / "output/signoff").glob("2*Z-*/signoff.json"):
        file.write_text(file.read_text().replace("alpha", "alpha "))
""",
    ),
    Way(
        "while the run is taken down a hook takes the document away",
        "listed but not there",
        """
def pytest_unconfigure(config):
    for file in (config.rootpath / "output/signoff").glob("2*Z-*/signoff.json"):
        file.unlink()
""",
    ),
    Way(
        "while the run is taken down a hook takes the whole folder away",
        "untrusted run",
        """
import shutil

def pytest_unconfigure(config):
    for folder in (config.rootpath / "output/signoff").glob("2*Z-*"):
        shutil.rmtree(folder)
""",
    ),
    Way(
        "while the run is taken down a hook changes the evidence",
        "other bytes",
        """
def pytest_unconfigure(config):
    for file in (config.rootpath / "output/signoff").glob("2*Z-*/evidence/**/records.jsonl"):
        file.write_text(file.read_text().replace("/free", "/dear"))
""",
    ),
    Way(
        "a summary of another plugin takes the failure back",
        "was skipped (not today)",
        "def pytest_terminal_summary(terminalreporter):\n    terminalreporter._session.exitstatus = 0\n",
        (SKIPPED,),
    ),
    Way(
        "a summary of another plugin exits with 0",
        "stopped before its end",
        "import pytest\n\ndef pytest_terminal_summary():\n    pytest.exit('enough', returncode=0)\n",
    ),
    Way(
        "pytest.exit with 0 after the conclusion",
        "was skipped (not today)",
        "import pytest\n" + SESSION + "    yield\n    pytest.exit('enough', returncode=0)\n",
        (SKIPPED,),
    ),
]

LEFT_OUT = [
    Way(
        "the items go while they are run",
        "has no result",
        """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    del session.items[1:]
""",
    ),
    Way(
        "an item goes after the selection",
        "has no result",
        "def pytest_collection_finish(session):\n    del session.items[0]\n",
    ),
    Way(
        "the session stops as if nothing were left",
        "has no result",
        "def pytest_runtest_logfinish():\n    pass\n\n"
        "def pytest_runtest_teardown(item):\n    item.session.shouldstop = 'enough'\n",
    ),
    Way(
        "what is required is changed once the run has begun",
        "not as it must be",
        "def pytest_collection_finish(session):\n    session.config.option.l402_required = ['second']\n",
        (FAILS,),
    ),
    Way(
        "what is required is changed in the environment by a test",
        "not as it must be",
        edits=(then("import os\nos.environ['PYTEST_L402_REQUIRED'] = 'second'"), FAILS),
        conftest="""
import os

def pytest_unconfigure():
    os.environ.pop("PYTEST_L402_REQUIRED", None)
""",
    ),
    Way(
        "a keyword of a conftest.py leaves out what fails",
        "was collected but has no result",
        """
def pytest_collection_finish(session):
    session.items[:] = [item for item in session.items if "alpha" not in item.name]
""",
        (FAILS,),
    ),
    Way(
        "sys.exit(0) in a test",
        "SystemExit",
        edits=(then("import sys\nsys.exit(0)"),),
    ),
    Way(
        "a module is ignored while collecting",
        "no test carries the marker",
        "collect_ignore = ['rehearsals/test_alpha.py']\n",
    ),
    Way(
        "another fixture of the name of ours",
        "proves nothing",
        """
import pytest

class Yes:
    def __getattr__(self, name):
        return lambda *arguments, **named: ()

@pytest.fixture
def l402_evidence():
    return Yes()
""",
    ),
    Way(
        "evidence that a fixture asks for when it ends",
        "not available during teardown",
        edits=(
            (
                ALPHA,
                "def test_alpha(l402_evidence):\n    " + DRILL,
                "@pytest.fixture\n"
                "def late(request):\n"
                "    yield\n"
                '    drill(request.getfixturevalue("l402_evidence"), "1.free")\n\n'
                "def test_alpha(late):\n    pass",
            ),
        ),
    ),
    Way(
        "evidence that a fixture of the module asks for",
        "ScopeMismatch",
        edits=(
            (
                ALPHA,
                "def test_alpha(l402_evidence)",
                "@pytest.fixture(scope='module')\ndef shared(l402_evidence):\n    return l402_evidence\n\n"
                "def test_alpha(shared, l402_evidence)",
            ),
        ),
    ),
]

WAYS = [*SWALLOWED, *ESCAPED, *CLOCKS, *SWITCHED_OFF, *ENDINGS, *LEFT_OUT]
# Each way is a run of its own; of each kind some stay in the fast tier.
BY_TIER = [
    *sampled(SWALLOWED, 8, "swallowing"),
    *sampled(ESCAPED, 3, "escaped"),
    *sampled(CLOCKS, 1, "clocks"),
    *sampled(SWITCHED_OFF, 4, "switched off"),
    *sampled(ENDINGS, 4, "endings"),
    *sampled(LEFT_OUT, 3, "left out"),
]


def prepare(project: Project, way: Way) -> None:
    for path, text in way.files:
        project.write(path, text)
    for path, old, new in way.edits:
        project.replace(path, old, new)
    if way.conftest:
        project.pytester.makeconftest(way.conftest)


def is_not_signed_off(project: Project, end: End) -> None:
    """Hold the disk, the terminal and the exit code to the same: no sign-off."""
    assert end.exit != 0, end.output
    assert not [folder for folder in project.run_folders() if (folder / "signoff.json").exists()]
    assert end.verdict != "SIGNED_OFF"
    if end.folder is not None:
        for page in end.folder.glob("*.md"):
            assert "SIGNED OFF" not in page.read_text().replace("NOT SIGNED OFF", "")
    last_word = end.output[end.output.rfind("l402 sign-off") :]
    assert "SIGNED OFF" not in last_word.replace("NOT SIGNED OFF", ""), end.output


@pytest.mark.parametrize("way", BY_TIER, ids=lambda way: way.name)
def test_no_way_to_a_wrong_green(project: Project, way: Way) -> None:
    prepare(project, way)
    end = project.run(*way.args)
    is_not_signed_off(project, end)
    assert (end.verdict is not None) is way.is_document_left, end.output
    assert way.told in " ".join(end.output.split()) + json.dumps(end.document), end.output


OVER_THE_WIRE = (
    "a thread raises in a later test that is no rehearsal",
    "a thread raises after the end of the session",
    "a finaliser fails that only the garbage collector runs",
    "a decorator tries again",
    "teardown: reported as passed",
    "setup: swallowed inside of all",
)


WIRED = [way for way in WAYS if way.name in OVER_THE_WIRE]


@pytest.mark.parametrize("way", sampled(WIRED, 2, "wired"), ids=lambda way: way.name)
def test_no_way_by_a_worker(project: Project, way: Way) -> None:
    prepare(project, way)
    end = project.run_over_the_wire(*way.args)
    is_not_signed_off(project, end)
    assert way.told in " ".join(end.output.split()) + json.dumps(end.document), end.output


def test_a_python_without_asserts_is_refused(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONOPTIMIZE", "1")
    end = project.run_process(*MARKED)
    assert (end.exit, end.verdict, end.moved) == (4, None, False), end.output
    assert "PYTHONOPTIMIZE: expected asserts to be run" in end.output


@pytest.mark.slow
def test_workers_without_asserts_are_refused(project: Project) -> None:
    project.pytester.makeconftest("import os\n\nos.environ['PYTHONOPTIMIZE'] = '1'\n")
    end = project.run_process(*MARKED, "-n", "2")
    assert end.exit != 0, end.output
    assert end.verdict is None
    assert "PYTHONOPTIMIZE: expected asserts to be run" in end.output


HONEST = {
    "asked for in the test": (
        (
            ALPHA,
            "(l402_evidence):",
            "(request):\n    l402_evidence = request.getfixturevalue('l402_evidence')",
        ),
    ),
    "asked for by a fixture of every test": (
        (
            ALPHA,
            "def test_alpha(l402_evidence):\n    " + DRILL,
            "@pytest.fixture(autouse=True)\ndef drilled(l402_evidence):\n    " + DRILL + "\n\n"
            "def test_alpha():\n    pass",
        ),
    ),
    "under decorators that call once": (
        (
            ALPHA,
            "def test_alpha",
            "from unittest import mock\nimport os\n\n@mock.patch.dict(os.environ, {'A': 'b'})\n"
            "@mock.patch('os.getcwd', lambda: '/')\ndef test_alpha",
        ),
    ),
    "a method": (
        (
            ALPHA,
            "def test_alpha(l402_evidence):\n    " + DRILL,
            "class TestIt:\n    def test_alpha(self, l402_evidence):\n        " + DRILL,
        ),
    ),
    "a thread that ends a little later": (
        (
            ALPHA,
            DRILL,
            DRILL + "\n    import threading\n    threading.Timer(0.05, int).start()",
        ),
    ),
    "a pool that nobody has shut down": (
        (
            ALPHA,
            "def test_alpha(l402_evidence):\n    " + DRILL,
            "from concurrent.futures import ThreadPoolExecutor\n\npool = ThreadPoolExecutor(1)\n\n"
            "def test_alpha(l402_evidence):\n    " + DRILL + "\n    pool.submit(int).result()",
        ),
    ),
    "a task of a framework": (
        (
            ALPHA,
            "def test_alpha(l402_evidence)",
            "@pytest.mark.anyio\nasync def test_alpha(l402_evidence, anyio_backend)",
        ),
        ("pyproject.toml", '"-p", "no:anyio", ', ""),
        (
            ALPHA,
            "import pytest\n",
            "import pytest\n\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n",
        ),
    ),
    "a frozen clock in the test": (
        (
            ALPHA,
            DRILL,
            "from freezegun import freeze_time\n    with freeze_time('2020-01-10'):\n        " + DRILL,
        ),
    ),
}


@pytest.mark.parametrize("name", sampled(list(HONEST), 3, "honest"))
def test_what_is_honest_signs_off(project: Project, name: str) -> None:
    for path, old, new in HONEST[name]:
        project.replace(path, old, new)
    end = project.run(*MARKED)
    assert (end.exit, end.verdict) == (0, "SIGNED_OFF"), end.output


def test_a_frozen_clock_does_not_date_the_document(project: Project) -> None:
    project.pytester.makeconftest("""
        from freezegun import freeze_time

        frozen = freeze_time("2020-01-10")
        frozen.start()

        def pytest_unconfigure():
            frozen.stop()
    """)
    end = project.run(*MARKED)
    assert (end.exit, end.verdict) == (0, "SIGNED_OFF"), end.output
    assert not json.dumps(end.document).count("2020-01-10")


def test_a_stray_exception_of_an_ordinary_test_is_not_charged_to_a_rehearsal(project: Project) -> None:
    project.replace(UNIT, "pass", RAISING.replace("\n", "\n    "))
    end = project.run()
    assert (end.exit, end.verdict) == (0, "SIGNED_OFF"), end.output


@pytest.mark.parametrize(
    ("wall_ms", "passed_ms", "told"),
    [
        (10_000, 10_000, None),
        (70_000, 10_001, None),
        (70_001, 10_000, "set forward by 60 s during the run, while 10 s passed"),
        (-60_001, 0, "set back by 60 s during the run, while 0 s passed"),
    ],
)
def test_a_clock_that_is_set_during_a_run_is_not_believed(
    wall_ms: int, passed_ms: int, told: str | None
) -> None:
    said = contradiction(wall_ms, passed_ms)
    assert said is None if told is None else told in str(said)


def test_what_alters_the_clock_of_the_system_in_place_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    # There are libraries that put other code behind the very function, for the one clock that all read.
    asked = clock.clock_gettime_ns

    def travelled(which: int) -> int:
        return 0 if which == time.CLOCK_REALTIME else asked(which)

    monkeypatch.setattr(clock, "clock_gettime_ns", travelled)
    assert abs(clock.now_ms() - time.time() * 1000) < 10_000


def test_a_run_whose_clock_was_set_does_not_sign_off(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    instants = iter(range(1_000_000_000, 0, -100_000))
    monkeypatch.setattr("pytest_l402.plugin.clock.steady_ms", lambda: next(instants))
    end = project.run(*MARKED)
    is_not_signed_off(project, end)
    assert end.codes == {"untrusted-run"}, end.output
    assert "the machine's clock was set forward" in " ".join(end.output.split())

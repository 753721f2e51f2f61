"""Every way in which a run can end: what it leaves, what it says by its exit code, and what it leaves alone.

Each row runs in process and, unless the result of one node is all that matters in it, again over the wire in
process, and on two xdist workers; `workers` holds what differs there. Of those on workers the fast tier has
three, and two more of test_plugin_sudden_ends.py; over the wire twelve. The slow tier has the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from plugin_project import PREVIOUS, End, Project
from tiers import sampled

ALPHA = "rehearsals/test_alpha.py"
BETA = "rehearsals/test_beta.py"
MARKED = ("-m", "rehearsal")

SIGNED_OFF = End(0, "SIGNED_OFF", moved=True)
SILENT = End(0, None, moved=False)


def refused(exit_code: int, *codes: str, verdict: str = "NOT_SIGNED_OFF") -> End:
    return End(exit_code, verdict, moved=True, codes=frozenset(codes))


def incomplete(exit_code: int, *codes: str) -> End:
    return refused(exit_code, *codes, verdict="INCOMPLETE")


def drill(exit_code: int, *codes: str) -> End:
    return End(exit_code, "DRILL", moved=False, codes=frozenset({"narrowed", *codes}))


MISSING = "rehearsal-missing"
FAILED = "rehearsal-failed"

FAILING = ('drill(l402_evidence, "1.free")', 'drill(l402_evidence, "1.free", paidAmountMsats=7)')


@dataclass(frozen=True)
class Row:
    """One situation: what is changed in the project, how pytest is called, and how that must end."""

    name: str
    expected: End
    args: tuple[str, ...] = MARKED
    edits: tuple[tuple[str, str, str], ...] = ()
    conftest: str = ""
    workers: End | None = None
    plain_only: bool = False


def then(text: str) -> tuple[str, str, str]:
    """Append statements to the test of alpha."""
    call = 'drill(l402_evidence, "1.free")'
    return ALPHA, call, f"{call}\n    " + text.replace("\n", "\n    ")


ROWS = [
    Row("all green", SIGNED_OFF),
    Row("all green, with other tests", SIGNED_OFF, args=()),
    Row(
        "all green, by the folder that holds the catalogue", SIGNED_OFF, args=("rehearsals",), plain_only=True
    ),
    Row(
        "another test fails",
        refused(1, "exit-status"),
        args=(),
        edits=(("tests/test_unit.py", "pass", "assert False"),),
    ),
    # Fewer than all: a drill, which exits as its tests did.
    Row("-k", drill(0, MISSING), args=(*MARKED, "-k", "alpha")),
    Row(
        "-k, failing",
        drill(1, FAILED, MISSING),
        args=("-k", "alpha"),
        edits=((ALPHA, *FAILING),),
        plain_only=True,
    ),
    Row(
        "-k, failing, and the test catches it",
        drill(1, FAILED, MISSING),
        args=("-k", "alpha"),
        edits=((ALPHA, FAILING[0], f"try:\n        {FAILING[1]}\n    except BaseException:\n        pass"),),
    ),
    Row("node id", drill(0, MISSING), args=(f"{ALPHA}::test_alpha",), plain_only=True),
    Row(
        "node ids that name every rehearsal, and not every case",
        drill(0),
        args=(f"{ALPHA}::test_alpha", f"{BETA}::test_beta[one]"),
    ),
    Row("path", drill(0, MISSING), args=(ALPHA,)),
    Row("--deselect", drill(0, MISSING), args=(*MARKED, "--deselect", ALPHA)),
    Row("--ignore", drill(0, MISSING), args=(*MARKED, "--ignore", ALPHA), plain_only=True),
    Row(
        "-m narrower",
        drill(0, MISSING),
        args=("-m", "rehearsal and not slow"),
        edits=(
            (ALPHA, "def test_alpha", "@pytest.mark.slow\ndef test_alpha"),
            ("pyproject.toml", "addopts", 'markers = ["slow"]\naddopts'),
        ),
        plain_only=True,
    ),
    Row(
        "one case of several deselected",
        drill(0, MISSING),
        args=(*MARKED, "--deselect", f"{BETA}::test_beta[two]"),
    ),
    # It had asked for everything, so the sign-off that it was to replace has gone already.
    Row(
        "a conftest drops a case without saying so",
        replace(drill(0, MISSING), moved=True),
        conftest="""
        def pytest_collection_modifyitems(items):
            items[:] = [item for item in items if item.name != "test_beta[two]"]
    """,
    ),
    Row(
        "a conftest marks what the module does not",
        SIGNED_OFF,
        edits=((ALPHA, "pytestmark", "unused"),),
        conftest="""
        import pytest

        def pytest_collection_modifyitems(items):
            for item in items:
                if item.name == "test_alpha":
                    item.add_marker(pytest.mark.rehearsal("alpha", runbook="book", section="1"))
    """,
        args=(),
    ),
    # A full run in which something required did not happen, or not as it must.
    Row(
        "-x leaves tests unrun",
        refused(1, FAILED, MISSING),
        args=(*MARKED, "-x"),
        edits=((ALPHA, *FAILING),),
        workers=None,
        plain_only=True,
    ),
    Row("skip", incomplete(1, MISSING), edits=(then('pytest.skip("not today")'),)),
    Row(
        "skipped by mark",
        incomplete(1, MISSING),
        edits=((ALPHA, "def test_alpha", "@pytest.mark.skip\ndef test_alpha"),),
        plain_only=True,
    ),
    Row(
        "module skipped while collecting",
        incomplete(1, MISSING),
        edits=((ALPHA, "import pytest\n", "import pytest\npytest.importorskip('no_such_package')\n"),),
    ),
    Row("no test for a required rehearsal", incomplete(1, MISSING), edits=((ALPHA, "pytestmark", "unused"),)),
    Row("xfail", refused(1, FAILED), edits=(then('pytest.xfail("known")'),)),
    Row(
        "xpass",
        refused(1, FAILED),
        edits=((ALPHA, "def test_alpha", "@pytest.mark.xfail(strict=False)\ndef test_alpha"),),
        plain_only=True,
    ),
    Row("a check is violated", refused(1, FAILED), edits=((ALPHA, *FAILING),)),
    Row(
        "nothing is verified", refused(1, FAILED), edits=((ALPHA, 'drill(l402_evidence, "1.free")', "pass"),)
    ),
    Row(
        "a line of the runbook stays unproven",
        incomplete(1, MISSING),
        edits=(("drilling.py", ".proves(line)", ""),),
        plain_only=True,
    ),
    Row(
        "a standing check is violated",
        refused(1, FAILED),
        edits=(then('l402_evidence.record("records", {"requestId": "req-2"})'),),
    ),
    Row(
        "a check has no mutant",
        refused(1, FAILED),
        edits=(("drilling.py", 'mutants = (set_value("records", "paidAmountMsats", 1),)', "mutants = ()"),),
        plain_only=True,
    ),
    Row(
        "a mutant survives",
        refused(1, FAILED),
        edits=(
            (
                "drilling.py",
                'set_value("records", "paidAmountMsats", 1)',
                'set_value("records", "userId", "u")',
            ),
        ),
    ),
    Row(
        "a check without evidence",
        refused(1, FAILED),
        edits=(("drilling.py", 'evidence.record("records", {**RECORD, **changes})', "pass"),),
        plain_only=True,
    ),
    Row("--l402-no-teeth", incomplete(1, MISSING), args=(*MARKED, "--l402-no-teeth")),
    Row(
        "failed subtest",
        refused(1, FAILED),
        edits=(
            (ALPHA, "(l402_evidence)", "(l402_evidence, subtests)"),
            then("with subtests.test():\n    assert False"),
        ),
    ),
    Row(
        "skipped subtest",
        incomplete(1, MISSING),
        edits=(
            (ALPHA, "(l402_evidence)", "(l402_evidence, subtests)"),
            then("with subtests.test():\n    pytest.skip('half')"),
        ),
    ),
    Row(
        "failed subtest, -p no:terminal",
        refused(1, FAILED),
        args=(*MARKED, "-p", "no:terminal"),
        edits=(
            (ALPHA, "(l402_evidence)", "(l402_evidence, subtests)"),
            then("with subtests.test():\n    assert False"),
        ),
        plain_only=True,
    ),
    Row("-p no:terminal", SIGNED_OFF, args=(*MARKED, "-p", "no:terminal"), plain_only=True),
    Row(
        "error in setup",
        refused(1, FAILED),
        edits=(
            (
                ALPHA,
                "def test_alpha(",
                "@pytest.fixture\ndef broken():\n    assert False\n\ndef test_alpha(broken, ",
            ),
        ),
    ),
    Row(
        "error in teardown",
        refused(1, FAILED),
        edits=(
            (
                ALPHA,
                "def test_alpha(",
                "@pytest.fixture\ndef broken():\n    yield\n    assert False\n\ndef test_alpha(broken, ",
            ),
        ),
    ),
    Row(
        "rerun, then passed",
        refused(1, FAILED),
        args=(*MARKED, "--reruns", "1"),
        edits=(
            (ALPHA, "def test_alpha", "attempts = []\n\ndef test_alpha"),
            then("attempts.append(1)\nassert len(attempts) == 2"),
        ),
    ),
    Row(
        "repeated by a plugin that reports the last attempt alone",
        refused(1, FAILED),
        edits=(
            (ALPHA, "def test_alpha", "attempts = []\n\ndef test_alpha"),
            then("attempts.append(1)\nassert len(attempts) == 2"),
        ),
        conftest="""
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            reports = runtestprotocol(item, log=False, nextitem=nextitem)
            while any(report.failed for report in reports):
                reports = runtestprotocol(item, log=False, nextitem=nextitem)
            for report in reports:
                item.ihook.pytest_runtest_logreport(report=report)
            return True
    """,
    ),
    Row(
        "a plugin reports a failure as passed",
        refused(1, FAILED),
        edits=(then("assert False"),),
        conftest="""
        import pytest

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport():
            report = yield
            report.outcome, report.longrepr = "passed", None
            return report
    """,
    ),
    Row(
        "a plugin swallows what a test raises",
        refused(1, FAILED),
        edits=(then("assert False"),),
        conftest="""
        import pytest

        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_runtest_call():
            try:
                return (yield)
            except AssertionError:
                return None
    """,
    ),
    Row("SystemExit in a test", refused(1, FAILED), edits=(then("raise SystemExit(0)"),), plain_only=True),
    # An exception that nobody catches is not a warning.
    Row(
        "exception in a thread",
        refused(1, FAILED),
        edits=(
            then(
                "import threading\nthread = threading.Thread(target=lambda: 1 / 0)\n"
                "thread.start()\nthread.join()"
            ),
        ),
    ),
    Row(
        "exception in a thread, warnings ignored",
        refused(1, FAILED),
        edits=(
            (ALPHA, "def test_alpha", '@pytest.mark.filterwarnings("ignore")\ndef test_alpha'),
            then(
                "import threading\nthread = threading.Thread(target=lambda: 1 / 0)\n"
                "thread.start()\nthread.join()"
            ),
        ),
        plain_only=True,
    ),
    Row(
        "exception in a finalizer",
        refused(1, FAILED),
        edits=(then("class Leaky:\n    def __del__(self):\n        1 / 0\nLeaky()"),),
        plain_only=True,
    ),
    # The run itself goes wrong.
    Row(
        "collection error",
        refused(2, "collect-error", MISSING, "interrupted"),
        edits=((ALPHA, "import pytest\n", "import pytest\nimport no_such_package\n"),),
        workers=refused(1, "collect-error", MISSING, "exit-status"),
    ),
    Row(
        "collection error, without -m",
        refused(2, "collect-error", MISSING, "interrupted"),
        args=(),
        edits=((ALPHA, "import pytest\n", "import pytest\nimport no_such_package\n"),),
        workers=refused(1, "collect-error", MISSING, "exit-status"),
    ),
    Row(
        "collection error in every module, without -m",
        refused(2, "collect-error", MISSING, "interrupted"),
        args=(),
        edits=(("drilling.py", "import Check", "import Chek"),),
        workers=refused(1, "collect-error", MISSING, "exit-status"),
    ),
    Row(
        "collection error elsewhere",
        End(2, None, moved=False),
        args=("tests",),
        edits=(("tests/test_unit.py", "def", "import no_such_package\n\ndef"),),
        workers=End(1, None, moved=False),
    ),
    Row(
        "nothing left to collect",
        incomplete(5, MISSING, "no-tests"),
        edits=((ALPHA, "pytestmark", "unused"), (BETA, "pytestmark", "unused")),
    ),
    Row(
        "internal error",
        refused(3, "internal-error", MISSING, "exit-status"),
        conftest="""
        def pytest_runtest_logfinish(nodeid):
            raise RuntimeError("broken plugin")
    """,
        plain_only=True,
    ),
    Row(
        "SystemExit in a hook",
        refused(3, "internal-error", MISSING, "exit-status"),
        conftest="""
        def pytest_runtest_logfinish(nodeid):
            raise SystemExit(0)
    """,
        plain_only=True,
    ),
    Row(
        "fail-under",
        refused(1, "exit-status"),
        conftest="""
        def pytest_sessionfinish(session):
            session.exitstatus = 1
    """,
    ),
    Row(
        "another plugin fails the run at the very end",
        refused(9, "exit-status"),
        conftest="""
        import pytest

        @pytest.hookimpl(wrapper=True)
        def pytest_sessionfinish(session):
            yield
            session.exitstatus = 9
    """,
        workers=refused(9, "exit-status"),
        plain_only=True,
    ),
    Row(
        "another plugin takes back that the run failed",
        refused(1, "exit-status"),
        args=(),
        edits=(("tests/test_unit.py", "pass", "assert False"),),
        conftest="""
        def pytest_sessionfinish(session):
            session.exitstatus = 0
    """,
    ),
    Row(
        "--max-warnings exceeded",
        refused(6, "exit-status"),
        args=("--max-warnings", "0"),
        edits=(("tests/test_unit.py", "pass", "import warnings\n    warnings.warn('old')"),),
    ),
    # Nothing runs: nothing is said, nothing is touched.
    *(
        Row(option, SILENT, args=(*MARKED, option), plain_only=True)
        for option in (
            "--co",
            "--setup-plan",
            "--setup-only",
            "--help",
            "--fixtures",
            "--markers",
            "--version",
        )
    ),
    Row("no rehearsal selected", SILENT, args=("tests",)),
    Row("no rehearsal selected, by -m", SILENT, args=("-m", "not rehearsal"), plain_only=True),
    Row("no rehearsal selected, by -k", End(5, None, moved=False), args=(*MARKED, "-k", "nothing")),
    Row("usage error", End(4, None, moved=False), args=(*MARKED, "--no-such-option"), plain_only=True),
    Row("no such file", End(4, None, moved=False), args=("no_such_file.py",), plain_only=True),
]


NOT_OURS_TO_CARRY = {"rerun, then passed", "--max-warnings exceeded"}
"""What decides these rows is carried by xdist itself or by another plugin."""

ON_WORKERS_AT_ONCE = {"all green"}


def prepare(project: Project, row: Row) -> None:
    for path, old, new in row.edits:
        project.replace(path, old, new)
    if row.conftest:
        project.pytester.makeconftest(row.conftest)


@pytest.mark.parametrize("row", sampled(ROWS, 34, "in process"), ids=lambda row: row.name)
def test_in_process(project: Project, row: Row) -> None:
    prepare(project, row)
    end = project.run(*row.args)
    assert end == row.expected, end.output
    leaves_what_it_says(project, end)


@pytest.mark.parametrize(
    "row",
    sampled(
        [row for row in ROWS if not (row.plain_only or row.workers or row.name in NOT_OURS_TO_CARRY)],
        12,
        "over the wire",
    ),
    ids=lambda row: row.name,
)
def test_over_the_wire(project: Project, row: Row) -> None:
    prepare(project, row)
    end = project.run_over_the_wire(*row.args)
    assert end == row.expected, end.output
    leaves_what_it_says(project, end)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=row.name, marks=() if row.name in ON_WORKERS_AT_ONCE else pytest.mark.slow)
        for row in ROWS
        if not row.plain_only
    ],
)
def test_on_two_workers(project: Project, row: Row) -> None:
    prepare(project, row)
    end = project.run(*row.args, workers=2)
    assert end == (row.workers or row.expected), end.output
    leaves_what_it_says(project, end)


def leaves_what_it_says(project: Project, end: End) -> None:
    """Hold the files of a run to its verdict."""
    if end.verdict is None:
        assert end.folder is None
        assert "l402 sign-off" not in end.output
    else:
        assert end.folder is not None
        names = {"SIGNED_OFF": "signoff.json", "DRILL": "drill.json"}
        assert end.document["file"] == names.get(end.verdict, "refusal.json")
        assert (end.folder / "SHA256SUMS").is_file()
    current = project.signoff / PREVIOUS / "signoff.json"
    assert current.is_file() is not end.moved

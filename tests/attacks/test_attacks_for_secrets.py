"""Ways to leak a secret out of a run: each in a form and through an outlet of its own, none may come through.

Every way leaks a value of its own, so that one run tries many and each is told apart.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from plugin_project import Project

from pytest_l402.cli import main
from pytest_l402.triage.request_text import bare_preimages

LEAKING = """\
import base64, hashlib, json, urllib.parse

def value(way):
    return hashlib.sha256(b"of " + way.encode()).digest()

def hexed(way):
    return value(way).hex()

def told(way):
    return "preimage=" + hexed(way)

def macaroon(way):
    long = b"\\x02\\x01\\x04lsat\\x02B\\x00\\x00" + value(way) * 3
    return base64.b64encode(long).decode()
"""

CONFTEST = """\
import pytest
from leaking import told

@pytest.fixture(autouse=True)
def failing_teardown(request):
    yield
    if request.node.name == "test_teardown_error":
        raise RuntimeError(told("error in teardown"))

@pytest.fixture(params=[told("parameter of a fixture")])
def shown_by_setup(request):
    return 1

def pytest_report_header(config):
    return told("header of the report")

def pytest_terminal_summary(terminalreporter):
    terminalreporter.section(told("section of the summary"))
    terminalreporter.write_line("\\x1b[31mprei\\x1b[32mmage\\x1b[0m=" + told("coloured in pieces")[9:])
    terminalreporter.write("preimage")
    terminalreporter.write("=" + told("written in pieces")[9:] + "\\n")

def pytest_sessionfinish(session):
    session.config.cache.set("own/values", {"preimage": told("value in the cache")[9:]})

def pytest_report_teststatus(report, config):
    if report.nodeid.endswith("test_status"):
        return "passed", ".", "PASSED " + told("word of a status")
"""

OUTLETS = """\
import logging, sys, warnings
import pytest
from leaking import hexed, told, value

class Odd:
    def __init__(self, way):
        self.way = way

    def __repr__(self):
        return f"Odd({told(self.way)})"

    def __eq__(self, other):
        return False

def test_message():
    raise ValueError(told("message of an exception"))

def test_group():
    raise ExceptionGroup(told("message of a group"), [ValueError(told("member of a group"))])

def test_task_group():
    import asyncio

    async def task():
        raise ValueError(told("task of a group"))

    async def main():
        async with asyncio.TaskGroup() as group:
            group.create_task(task())

    asyncio.run(main())

def test_chain():
    try:
        raise ValueError(told("cause of an exception"))
    except ValueError as error:
        raise RuntimeError("x") from error

def test_context():
    try:
        raise KeyError(told("context of an exception"))
    except KeyError:
        raise RuntimeError("y")

def test_notes():
    error = ValueError("z")
    error.add_note(told("note of an exception"))
    raise error

def test_multi_line():
    raise ValueError("first\\n    preimage=\\n        " + hexed("broken after the name"))

def test_fail():
    pytest.fail("  " + told("reason of a failure"), pytrace=False)

def test_fail_marked():
    pytest.fail("> " + told("reason after a mark"), pytrace=False)

def test_compare():
    assert told("left of an assertion") == told("right of an assertion")

def test_compare_objects():
    assert Odd("repr in an assertion") == 1

def test_compare_long():
    assert ["a"] * 50 + [told("diff of an assertion")] == ["a"] * 50

def test_compare_keys():
    assert {"preimage": hexed("diff of keys")} == {"preimage": None}

def test_assert_message():
    assert False, told("message of an assertion")

def test_locals():
    held = {"preimage": hexed("local variable"), "x": [Odd("repr of a local variable")]}
    preimage = hexed("local of that name")
    raise ValueError("held")

def with_argument(preimage):
    raise ValueError("given")

def test_argument():
    with_argument(hexed("argument of a function"))

def test_skip():
    pytest.skip(told("reason of a skip"))

@pytest.mark.skip(reason=told("mark of a skip"))
def test_skip_mark():
    pass

@pytest.mark.skipif("True", reason=told("condition of a skip"))
def test_skip_condition():
    pass

@pytest.mark.xfail(reason=told("reason of an expected failure"))
def test_xfail():
    raise ValueError(told("message of an expected failure"))

@pytest.mark.xfail(reason=told("reason of an unexpected pass"), strict=True)
def test_xpass():
    pass

def test_xfail_called():
    pytest.xfail(told("reason of a called xfail"))

def test_output():
    print(told("standard output"))
    print(told("standard error"), file=sys.stderr)
    logging.getLogger("own").warning(told("line of a log"))
    logging.getLogger("own").warning("%s", told("argument of a log"))
    try:
        raise ValueError(told("exception in a log"))
    except ValueError:
        logging.exception("seen")
    raise ValueError("shown")

def test_output_of_a_pass():
    print(told("output of a pass"))
    logging.error(told("log of a pass"))

def test_warning():
    warnings.warn(told("warning"))

def test_properties(record_property, record_xml_attribute, record_testsuite_property):
    record_property("own", told("property of a test"))
    record_property("preimage", hexed("property by that name"))
    record_xml_attribute("url", told("attribute in JUnit"))
    record_testsuite_property("own", told("property of a suite"))
    record_testsuite_property("preimage", hexed("property of a suite by that name"))

def test_metadata(json_metadata):
    json_metadata["preimage"] = hexed("metadata of a report")
    json_metadata["own"] = [told("nested metadata of a report")]

@pytest.mark.parametrize("case", [told("id of a case")])
def test_id(case):
    pass

@pytest.mark.parametrize("preimage", [hexed("value of a preimage's case")])
def test_preimage_id(preimage):
    pass

@pytest.mark.parametrize(("x", "ops_token"), [(1, hexed("value of a token's case"))])
def test_token_id(x, ops_token):
    assert False

@pytest.mark.parametrize("secret", [value("bytes of a secret's case").hex().encode()])
def test_secret_id(secret):
    pass

@pytest.mark.parametrize("token", ["expired", "of-another-request"])
def test_word_id(token):
    assert False

@pytest.mark.parametrize("case", [1], ids=[told("given id of a case")])
def test_given_id(case):
    assert False

def test_subtests(subtests):
    with subtests.test(told("name of a subtest"), preimage=hexed("value of a subtest")):
        print(told("output of a subtest"))
        logging.warning(told("log of a subtest"))
        raise ValueError(told("message of a subtest"))
    with subtests.test("second"):
        pytest.skip(told("skip of a subtest"))

def test_setup_shown(shown_by_setup):
    pass

def test_teardown_error():
    pass

def test_status():
    pass

def test_controls():
    raise ValueError("preimage\\u200b=" + hexed("after what is invisible") + "\\x1b[2J\\u202e")

def test_thread():
    import threading

    def work():
        raise ValueError(told("exception of a thread"))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
"""

# A form of a secret as source: `way` is its name, `told`, `hexed`, `value` and `macaroon` are at hand.
FORMS = {
    "bytes": "f\"preimage=b'{hexed(way)}'\"",
    "bytearray": "repr({'preimage': bytearray(value(way).hex().encode())})",
    "raw bytes": "f'preimage={value(way)!r}'",
    "list in JSON": "json.dumps({'secret': [hexed(way), hexed(way)]})",
    "nested JSON": "json.dumps({'a': json.dumps({'preimage': hexed(way)})})",
    "JSON thrice": "json.dumps(json.dumps(json.dumps({'token': hexed(way)})))",
    "object in JSON": "json.dumps({'secret': {'value': hexed(way)}})",
    "indented JSON": "json.dumps({'secret': {'value': hexed(way)}}, indent=4)",
    "password in a URL": "f'https://user:{hexed(way)}@host/x'",
    "user of a URL": "f'https://{hexed(way)}@host/x'",
    "query of a URL": "f'GET /x?token={hexed(way)}&y=1'",
    "percent-encoded": "urllib.parse.quote('preimage=' + hexed(way))",
    "credential percent-encoded": "urllib.parse.quote(f'L402 {macaroon(way)}:{hexed(way)}')",
    "header of a key": "f'x-api-key: {hexed(way)}'",
    "bearer": "f'Authorization: Bearer {hexed(way)}'",
    "basic": "'Authorization: Basic ' + base64.b64encode(b'user:' + value(way).hex().encode()).decode()",
    "L402": "f'Authorization: L402 {macaroon(way)}:{hexed(way)}'",
    "LSAT": "f'LSAT {macaroon(way)}:{hexed(way).upper()}'",
    "credential alone": "f'{macaroon(way)}:{hexed(way)}'",
    "macaroon alone": "macaroon(way)",
    "macaroon in base64url": "macaroon(way).replace('+', '-').replace('/', '_').rstrip('=')",
    "macaroon in hex": "'seen ' + base64.b64decode(macaroon(way)).hex()",
    "macaroon over lines": "'\\n'.join(macaroon(way)[at:at + 60] for at in range(0, 200, 60))",
    "header tuple": "repr((b'authorization', f'L402 {macaroon(way)}:{hexed(way)}'.encode()))",
    "pair": "repr([('preimage', hexed(way))])",
    "cookie": "f'Cookie: theme=dark; session={hexed(way)}'",
    "set-cookie": "f'Set-Cookie: session={hexed(way)}; Path=/'",
    "cookies in JSON": "json.dumps({'cookies': {'session': hexed(way)}})",
    "upper case": "f'PREIMAGE={hexed(way).upper()}'",
    "base64": "f'preimage: {base64.b64encode(value(way)).decode()}'",
    "base64url": "f'preimage={base64.urlsafe_b64encode(value(way)).decode().rstrip(chr(61))}'",
    "hex over lines": "f'preimage={hexed(way)[:32]}\\n{hexed(way)[32:]}'",
    "literals over lines": "f\"preimage='{hexed(way)[:32]}'\\n         '{hexed(way)[32:]}'\"",
    "prose": "f'the preimage is {hexed(way)}'",
    "option": "f'pytest-l402 smoke --ops-token {hexed(way)}'",
    "environment": "f'OA_LIGHTNING_OPS_SECRET={hexed(way)}'",
    "web token": "f'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3.{hexed(way)}'",
    "private key": "f'-----BEGIN PRIVATE KEY-----\\n{hexed(way)}\\n-----END PRIVATE KEY-----'",
    "XML": "f'<a preimage=&quot;{hexed(way)}&quot;/>'",
    "YAML": "f'preimage: {hexed(way)}'",
    "data class": "f'Payment(amount=1, preimage={hexed(way)!r})'",
    "wrapped": "f'Preimage({hexed(way)!r})'",
}

FORM_TESTS = "import base64, json, logging, urllib.parse\nfrom leaking import *\n\n" + "\n".join(
    f"def test_{index}():\n"
    f"    way = {form!r}\n"
    f"    text = {source}\n"
    "    print(text)\n"
    "    logging.warning(text)\n"
    "    raise ValueError(text)\n"
    for index, (form, source) in enumerate(FORMS.items())
)

ENDS = {
    "exit": ("conftest.py", 'def pytest_runtest_setup(item):\n    pytest.exit(told("reason of an exit"))\n'),
    "early exit": (
        "conftest.py",
        'def pytest_sessionstart(session):\n    pytest.exit(told("reason of an early exit"))\n',
    ),
    "usage": (
        "conftest.py",
        'def pytest_collection_finish(session):\n    raise pytest.UsageError(told("usage error"))\n',
    ),
    "internal": (
        "conftest.py",
        "def pytest_runtest_logfinish(nodeid):\n"
        '    preimage = told("local of an internal error")[9:]\n'
        '    raise RuntimeError(told("internal error"))\n',
    ),
    "collection": ("tests/test_broken.py", 'raise ValueError(told("error of collection"))\n'),
    "collection skip": (
        "tests/test_broken.py",
        'pytest.skip(told("skip of collection"), allow_module_level=True)\n',
    ),
    "import": (
        "tests/test_broken.py",
        'import importlib\nimportlib.import_module(told("name of an import"))\n',
    ),
}

TALKATIVE = (
    "-vv", "-l", "-rA", "--setup-show", "--durations=0", "--durations-min=0", "--debug=debug.log",
    "--junitxml=junit.xml", "-o", "junit_logging=all", "-o", "junit_family=xunit1",
    "--json-report", "--json-report-file=report.json", "--log-level=DEBUG", "--log-file=run.log",
    "-o", "log_cli=true",
)  # fmt: skip


def ways_in(source: str) -> Iterator[str]:
    """The ways that a source names: every literal that `told` or `hexed` is given."""
    for call in ("told(", "hexed(", 'Odd("'):
        for rest in source.split(call.rstrip('"'))[1:]:
            if rest.startswith('"'):
                yield rest[1:].partition('"')[0]


def needles(way: str) -> set[str]:
    value = hashlib.sha256(b"of " + way.encode()).digest()
    whole = value.hex()
    halves = {whole[:20], whole[-20:], whole[24:44]}
    encoded = base64.b64encode(value).decode().rstrip("=")
    safe = base64.urlsafe_b64encode(value).decode().rstrip("=")
    # Inside a macaroon or behind a user's name a value begins at any of three places of a group.
    inner = {base64.b64encode(b"x" * shift + value)[4:40].decode() for shift in range(3)}
    basic = base64.b64encode(b"user:" + whole.encode()).decode()[12:40]
    return {
        *halves,
        *(half.upper() for half in halves),
        encoded[:24],
        safe[:24],
        *inner,
        basic,
        repr(value)[8:40],
    }


def leaked(project: Project, output: str, ways: tuple[str, ...]) -> dict[str, list[str]]:
    """Which ways came through, and to where."""
    places = {"the terminal": output}
    for path in sorted(project.root.rglob("*")):
        relative = path.relative_to(project.root)
        if path.is_file() and path.suffix not in (".py", ".pyc") and "__pycache__" not in relative.parts:
            places[str(relative)] = path.read_text(errors="replace")
    found = {}
    for way in ways:
        shapes = needles(way)
        found[way] = [place for place, text in places.items() if any(each in text for each in shapes)]
    return {way: seen for way, seen in found.items() if seen}


SEEN: dict[str, tuple[dict[str, list[str]], str]] = {}


def run_once(
    project: Project, kind: str, tests: dict[str, str], *args: str, ways: tuple[str, ...] = tuple(FORMS)
) -> tuple[dict[str, list[str]], str]:
    """What came through of one run that tries many ways; the first test that asks pays for it."""
    if kind not in SEEN:
        project.write("leaking.py", LEAKING)
        project.replace("pyproject.toml", '"-p", "no:cacheprovider",', "")
        for path, text in tests.items():
            project.write(path, text)
        ways += tuple(way for text in tests.values() for way in ways_in(text))
        end = project.run(*TALKATIVE, *args)
        for name in ("junit.xml", "report.json", "run.log", "debug.log"):
            assert (project.root / name).is_file(), end.output
        scans = [path.read_text() for path in project.root.rglob("secret_scan.jsonl")]
        SEEN[kind] = leaked(project, end.output, ways), "\n".join([end.output, *scans])
    return SEEN[kind]


OUTLET_WAYS = tuple(dict.fromkeys(way for text in (OUTLETS, CONFTEST) for way in ways_in(text)))
# Each end is a run of its own; of each kind one stays in the fast tier.
FAST_ENDS = ("exit", "internal", "collection")
END_WAYS = [
    pytest.param(kind, way, marks=() if kind in FAST_ENDS else pytest.mark.slow)
    for kind, (_, text) in ENDS.items()
    for way in ways_in(text)
]


@pytest.mark.parametrize("way", OUTLET_WAYS)
def test_outlet(project: Project, way: str) -> None:
    found, output = run_once(project, "outlets", {"conftest.py": CONFTEST, "tests/test_outlets.py": OUTLETS})
    assert way not in found, found[way]
    assert "test_message" in output


def test_an_id_of_words_stays(project: Project) -> None:
    _, output = run_once(project, "outlets", {"conftest.py": CONFTEST, "tests/test_outlets.py": OUTLETS})
    assert "test_word_id[expired]" in output
    assert "test_word_id[of-another-request]" in output


@pytest.mark.parametrize("way", FORMS)
def test_form(project: Project, way: str) -> None:
    found, output = run_once(project, "forms", {"tests/test_forms.py": FORM_TESTS})
    assert way not in found, found[way]
    assert f"test_{len(FORMS) - 1}" in output


@pytest.mark.slow
@pytest.mark.parametrize("style", ["short", "line", "native", "auto"])
def test_style_of_traceback(project: Project, style: str) -> None:
    found, _ = run_once(
        project, style, {"conftest.py": CONFTEST, "tests/test_outlets.py": OUTLETS}, f"--tb={style}"
    )
    assert found == {}


@pytest.mark.parametrize(("kind", "way"), END_WAYS)
def test_end(project: Project, kind: str, way: str) -> None:
    path, text = ENDS[kind]
    project.write("leaking.py", LEAKING)
    project.replace("pyproject.toml", '"-p", "no:cacheprovider",', "")
    project.write(path, f"import pytest\nfrom leaking import told\n\n{text}")
    output = project.run(*TALKATIVE).output
    assert leaked(project, output, (way,)) == {}
    assert "[redacted]" in output


@pytest.mark.slow
def test_the_search_finds_every_way_when_nothing_is_held(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each way must have come through before: without the guard it does."""
    from pytest_l402.plugin.text_guard import TextGuard

    for name in [name for name in vars(TextGuard) if name.startswith("pytest_")]:
        monkeypatch.delattr(TextGuard, name)
    tests = {"conftest.py": CONFTEST, "tests/test_outlets.py": OUTLETS, "tests/test_forms.py": FORM_TESTS}
    found, _ = run_once(project, "unheld", tests)
    assert {*OUTLET_WAYS, *FORMS} - {*found} == set()


@pytest.mark.slow
def test_a_run_in_a_process_of_its_own_with_the_debug_file(project: Project) -> None:
    """There pytest rewrites modules that no test has imported before, and traces that."""
    end = project.run_process("-m", "rehearsal", "--debug=debug.log")
    assert (end.exit, end.verdict) == (0, "SIGNED_OFF"), end.output
    assert (project.root / "debug.log").stat().st_size > 0


def test_to_write_the_debug_file_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_l402.plugin.text_guard import _cleaning_write

    written: list[str] = []
    write = _cleaning_write(written.append)

    def traced(name: str, *_: object) -> None:
        write(f"find_module called for: {name}")
        raise AssertionError(name)

    with monkeypatch.context() as context:
        context.setattr("builtins.__import__", traced)
        write(f"preimage={HEX}")
    assert written == ["preimage=[redacted]"]


def test_steering_characters_do_not_reach_the_terminal(project: Project) -> None:
    _, output = run_once(project, "outlets", {"conftest.py": CONFTEST, "tests/test_outlets.py": OUTLETS})
    assert not {char for char in output if not char.isprintable()} - {"\n"}
    assert Path("x").name in "x"


# A secret that nothing names: only its digest is known. `digest` is that of the way's value, in hex.
BARE = {
    "known in hex": "[{'paymentHash': digest, 'amountMsats': 1}, {'note': hexed(way)}]",
    "known in upper hex": "[{'paymentHash': digest}, {'note': 'saw ' + hexed(way).upper() + ' there'}]",
    "known in base64": "[{'paymentHash': digest, 'note': base64.b64encode(value(way)).decode()}]",
    "known in base64url": "[{'paymentHash': digest, 'x': [base64.urlsafe_b64encode(value(way)).decode()]}]",
    "known in a URL": "[{'paymentHash': digest, 'note': f'https://host/x/{hexed(way)}/y'}]",
    "issued by a system": "[{'deep': {'er': [{'note': hexed(way)}]}}]",
    "named by its key": "[{'preimage': hexed(way)}]",
    "below the key of a secret": "[{'secret': {'of': ['x', hexed(way)]}}]",
    "in a key": "[{'preimage=' + hexed(way): 1}]",
}
ROWS = FORMS | BARE

RECORDING = """\
import base64, hashlib, json, urllib.parse
import pytest
from drilling import drill
from leaking import *

pytestmark = pytest.mark.rehearsal("alpha", runbook="book", section="1")
FORMS = {forms!r}
BARE = {bare!r}

class Issuer:
    name, version, digest = "issuer", "1", None

    def parts(self):
        return ()

    def tables(self):
        return {{}}

    def steady_state(self, when):
        return ()

    def standing_checks(self):
        return ()

    def secret_digests(self):
        return [hashlib.sha256(value("issued by a system")).digest()]

def made(way, source):
    digest = hashlib.sha256(value(way)).hexdigest()
    return eval(source, {{**globals(), "way": way, "digest": digest}})

def test_rows(l402_evidence):
    l402_evidence.attach(Issuer())
    folder = l402_evidence.artifact_dir / "own"
    folder.mkdir(parents=True)
    for place, (way, source) in enumerate([*FORMS.items(), *BARE.items()]):
        rows = made(way, source)
        if isinstance(rows, str):
            (folder / f"{{place}}.txt").write_text("before\\n" + rows + "\\nafter")
            rows = [{{"line": rows}}]
        l402_evidence.record(f"own_{{place}}", *rows)
    drill(l402_evidence, "1.free")
"""


@pytest.mark.parametrize("way", ROWS)
def test_row_and_artifact(project: Project, way: str) -> None:
    tests = {"rehearsals/test_alpha.py": RECORDING.format(forms=FORMS, bare=BARE)}
    found, output = run_once(project, "rows", tests, "-m", "rehearsal", ways=tuple(ROWS))
    assert way not in found, found[way]
    place = [*ROWS].index(way)
    assert re.search(rf'"place":"own_{place}","searched":\d,"secrets":1,', output)
    wrote = rf'"place":"artifacts/own/{place}.txt","searched":1,"secrets":1,'
    assert place >= len(FORMS) or re.search(wrote, output)


def test_a_run_whose_rows_held_a_secret_says_where(project: Project) -> None:
    project.write("leaking.py", LEAKING)
    told = '{"line": "x", "held": {"header": "Authorization: Bearer " + hexed("x")}}'
    drilled = f'l402_evidence.record("own_log", {{"line": "y"}}, {told})\n    drill(l402_evidence'
    project.replace("rehearsals/test_alpha.py", "drill(l402_evidence", drilled)
    project.replace("rehearsals/test_alpha.py", "import pytest", "import pytest\nfrom leaking import hexed")
    end = project.run("-m", "rehearsal")
    assert (end.exit, end.verdict) == (1, "NOT_SIGNED_OFF")
    assert "no secret in own_log" in end.output
    assert "row 2, held" in end.output
    assert leaked(project, end.output, ("x",)) == {}


HEX = hashlib.sha256(b"of a command").hexdigest()
COMMANDS = {
    "unknown command": (f"preimage={HEX}",),
    "unknown option": ("triage", "x", f"--token={HEX}"),
    "option with a blank": ("smoke:compile", "--token", HEX),
    "request id": ("smoke:staging", "--request-id", f"preimage={HEX}"),
    "request id of triage": ("triage", "records.jsonl", "--request-id", f"preimage={HEX}"),
    "file": ("triage", f"preimage={HEX}.jsonl"),
    "mode": ("smoke:compile", "--mode", f"secret={HEX}"),
    "fault": ("smoke:compile", "--fault", f"token={HEX}"),
    "folder": ("smoke:compile", "--artifact-dir", f"records.jsonl/preimage={HEX}"),
    "image": ("smoke:staging", "--image-digest", f"Bearer {HEX}"),
    "seconds": ("smoke:staging", "--wait", f"secret={HEX}"),
    "folder to verify": ("verify", f"preimage={HEX}"),
    "raw proof": ("triage", "records.jsonl"),
}


RECORDED = {
    "header in a reason": {"denyReason": f"Authorization: ApiKey {HEX}"},
    "value as a reason": {"denyReason": HEX},
    "value within a reason": {"denyReason": f"refused {HEX.upper()} at the gateway"},
    "value as an id": {"requestId": HEX},
    "value after an id": {"requestId": f"of {HEX}"},
    "prefixed proof": {"paymentProofRef": f"0x{HEX}"},
    "whole proof in a reference": {"paymentProofRef": f"lightning_preimage:{HEX}", "denyReason": "x"},
    "user in an endpoint": {"endpoint": f"user:{HEX}@host/x", "denyReason": f"user:{HEX}@host"},
}


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("way", RECORDED)
def test_triage(tmp_path: Path, capsys: pytest.CaptureFixture[str], way: str, as_json: bool) -> None:
    record = {"requestId": "r", "plane": "gateway", "executor": "gateway", **RECORDED[way]}
    (tmp_path / "records.jsonl").write_text(json.dumps(record) + "\n")
    with contextlib.suppress(SystemExit):
        main(["triage", str(tmp_path / "records.jsonl"), *(["--json"] if as_json else [])])
    told = "".join(capsys.readouterr())
    assert "records.jsonl" in told
    assert HEX[24:44] not in told.lower()
    assert HEX[-20:] not in told.lower()


def test_triage_shows_what_is_called_a_hash() -> None:
    record = {"requestId": "r", "denyReason": f"payment hash {HEX}, preimage is not of paymentHash={HEX}"}
    assert list(bare_preimages(None, record.values())) == []


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("way", COMMANDS)
def test_command(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    way: str,
    as_json: bool,
) -> None:
    record = {
        "requestId": "r",
        "plane": "gateway",
        "executor": "gateway",
        "paymentProofRef": HEX,
        "cacheHit": 1,
    }
    (tmp_path / "records.jsonl").write_text(json.dumps(record) + "\n")
    monkeypatch.chdir(tmp_path)
    with contextlib.suppress(SystemExit):
        main([*COMMANDS[way], *(["--json"] if as_json else [])])
    told = "".join(capsys.readouterr())
    assert told
    assert HEX[:20] not in told.lower()
    assert HEX[-20:] not in told.lower()


@pytest.mark.parametrize("name", ["OA_LIGHTNING_OPS_KHALA_URL", "OA_LIGHTNING_OPS_GATEWAY_BASE_URL"])
@pytest.mark.parametrize(
    "url", [f"https://user:{HEX}@host:x/", f"https://host:x/?token={HEX}", f"preimage={HEX}"]
)
def test_variable_with_a_url(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, url: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in [variable for variable in os.environ if variable.startswith("OA_LIGHTNING")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv(name, url)
    with contextlib.suppress(SystemExit):
        main(["smoke:compile", "--mode", "live"])
    told = "".join(capsys.readouterr())
    assert name in told
    assert HEX[:20] not in told

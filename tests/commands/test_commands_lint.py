"""`pytest-l402 lint`: what it prints for people, for machines and for GitHub, and its exit codes."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from command_runs import Run

SOUND = """\
services:
  - {name: s, hostregexp: '.*', pathregexp: '^/p', address: 'a:80', protocol: http, auth: 'on', price: 5}
"""
LOSES = SOUND.replace("price: 5", "prize: 5, auth: 'yes'").replace("auth: 'on', ", "")


def write(name: str, text: str | bytes) -> str:
    Path(name).write_bytes(text.encode() if isinstance(text, str) else text)
    return name


def test_a_sound_file(run: Run) -> None:
    told = run("lint", write("aperture.yaml", SOUND))
    assert (told.code, told.out, told.err) == (0, "aperture.yaml: sound\n", "")


def test_a_file_with_errors(run: Run) -> None:
    told = run("lint", write("a.yaml", LOSES), write("b.yaml", SOUND))
    assert told.code == 1
    assert "a.yaml:2:101: error: gives-away: auth 'yes' is no word for it" in told.out
    assert "a.yaml:2:85: error: key-not-read: the key 'prize' in services[0] is read over" in told.out
    assert "    instead: write price\n" in told.out
    assert told.out.endswith("a.yaml: 2 errors, 0 warnings\nb.yaml: sound\n")


def test_the_document(run: Run) -> None:
    document = run("lint", "--json", write("a.yaml", LOSES)).document
    assert document["ok"] is False
    [told] = document["files"]
    assert told["file"] == "a.yaml"
    assert {"code", "severity", "line", "column", "says", "remedy"} == set(told["findings"][0])


def test_annotations_stay_on_one_line_each(run: Run) -> None:
    text = SOUND.replace("name: s", 'name: "a:\\nb"')
    told = run("lint", "--github", write("a,b.yaml", text))
    assert told.code == 1
    assert told.out.splitlines() == [
        "::error file=a%2Cb.yaml,line=2,col=12,title=refuses-the-buyer::the name 'a:\\nb' breaks the "
        "credential's list of services: paid, and refused for ever; "
        "instead: write a name without colon and comma"
    ]


@pytest.mark.parametrize(
    ("name", "data"), [("nowhere.yaml", None), ("bytes.yaml", b"\xff\xfe"), ("folder", "folder")]
)
def test_what_cannot_be_read(run: Run, name: str, data: bytes | str | None) -> None:
    if data == "folder":
        Path(name).mkdir()
    elif data is not None:
        write(name, data)
    told = run("lint", name, write("good.yaml", SOUND))
    assert told.code == 2
    assert told.out == "good.yaml: sound\n"
    [line] = told.err.splitlines()
    assert line.startswith(f"pytest-l402 lint: {name}")
    assert ": expected " in line


def test_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(SOUND.encode())))
    told = run("lint", "-")
    assert (told.code, told.out) == (0, "<stdin>: sound\n")


def test_the_gateway_says_why_it_does_not_start(run: Run) -> None:
    told = run("gateway", "--configfile=nowhere.yaml")
    assert (told.code, told.out) == (1, "")
    assert told.err == "unable to parse config file: nowhere.yaml: No such file or directory\n"
    assert run("gateway", "--help").code == 0
    assert run("--json", "gateway").code == 2

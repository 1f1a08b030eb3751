"""Rows of CSV, TSV and JSON Lines files."""

import gzip
import pathlib

import pytest

from keras_lstm.core.errors import InputError
from keras_lstm.tasks import records
from keras_lstm.tasks.records import RecordFile, usual_column


def rows(path, content, bad=None):
    """Return lines and values of a file's rows."""
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(content)
    on_bad_row = records.refuse_row if bad is None else bad.append
    found = RecordFile(path).rows(on_bad_row)
    return [(record.line, record.values) for record in found]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "x,y\n1,b\n2,d\n"),
        ("a.csv", "\ufeffx,y\r\n1,b\r\n2,d"),
        ("a.csv", "x;y\n1;b\n2;d\n"),
        ("a.TSV", "x\ty\n1\tb\n2\td\n"),
        ("a.csv.gz", gzip.compress(b"x,y\n1,b\n2,d\n", mtime=0)),
        # Compressed, whatever the name says.
        ("a.csv", gzip.compress(b"x,y\n1,b\n2,d\n", mtime=0)),
        ("a.jsonl", '{"x": "1", "y": "b"}\n{"x": "2", "y": "d"}\n'),
        (
            "a.ndjson.gz",
            gzip.compress(b'{"x":"1","y":"b"}\n{"x":"2","y":"d"}', mtime=0),
        ),
    ],
)
def test_rows_have_lines_and_columns(tmp_path, name, content):
    path = tmp_path / name
    assert rows(path, content) == [
        (2 if "csv" in name or "TSV" in name else 1, {"x": "1", "y": "b"}),
        (3 if "csv" in name or "TSV" in name else 2, {"x": "2", "y": "d"}),
    ]
    assert RecordFile(path).columns == ["x", "y"]


def test_tabs_leave_quotes_alone(tmp_path):
    assert rows(tmp_path / "a.tsv", 'x\ty\n"a\tb\nc"\td\n') == [
        (2, {"x": '"a', "y": "b"}),
        (3, {"x": 'c"', "y": "d"}),
    ]


def test_a_row_may_have_several_lines(tmp_path):
    content = 'x,y\n"a\nb, ""c""",1\n\nd,2\n'
    assert rows(tmp_path / "a.csv", content) == [
        (2, {"x": 'a\nb, "c"', "y": "1"}),
        (5, {"x": "d", "y": "2"}),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "must hold at least one row"),
        ("a.csv", "x,y\n", "must hold at least one row"),
        ("a.csv", "\n\n", "line 1: the first line must name the columns"),
        ("a.csv", "x,x\n1,2\n", "columns must have different names"),
        ("a.csv", "x,y\n1,2\n1\n", "line 3: a row must have 2 columns"),
        ("a.csv", "x,y\n1,2\n1,2,3\n", "line 3: a row must have 2 columns"),
        ("a.csv", b"x,y\n1,2\n\xff,2\n", "line 3: text must be UTF-8"),
        ("a.csv", b"x,\xff\n1,2\n", "line 1: text must be UTF-8"),
        ("a.csv", 'x,y\n1,2\n"a"b,2\n', "line 3: a row must be CSV (',' exp"),
        (
            "a.csv",
            'x,y\n1,2\n"a,2\n',
            "line 3: a row must be CSV (unexpected end of data)",
        ),
        ("a.csv", b"\x1f\x8b\x08 no gzip", "cannot be read"),
        ("a.csv", gzip.compress(b"x,y\n1,2\n", mtime=0)[:-9], "cannot be read"),
        ("a.jsonl", '{"x": 1}\n[1]\n', "line 2: must be a JSON object"),
        ("a.jsonl", '{"x": 1}\n{"x": }\n', "line 2: must be JSON"),
        ("a.jsonl", '{"x": 1}\n' + "[" * 10**5, "line 2: must be JSON"),
        ("a.jsonl", b'{"x": 1}\n{"x": "\xff"}\n', "line 2: text must be UTF-8"),
        ("a.jsonl", "\n \n", "must hold at least one row"),
        ("a.xlsx", "x", "must be a file that ends in .csv, .tsv"),
        ("csv", "x", "must be a file that ends in"),
    ],
)
def test_a_bad_file_is_refused(tmp_path, name, content, message):
    with pytest.raises(InputError) as info:
        rows(tmp_path / name, content)
    assert message in str(info.value)
    assert len(str(info.value).splitlines()) == 1


def test_no_file_is_refused(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        named = path if path.suffix else pathlib.Path(f"{path}/x.csv")
        with pytest.raises(InputError, match="cannot be read"):
            RecordFile(named)


def test_bad_rows_can_be_skipped(tmp_path):
    bad = []
    content = b'x,y\n1,2\n\xff,2\n1\n"a"b,2\n3,4\n'
    found = rows(tmp_path / "a.csv", content, bad)
    assert [values["x"] for _, values in found] == ["1", "3"]
    assert [str(error).split(":")[0].split()[-1] for error in bad] == [
        *("3", "4", "5")
    ]


@pytest.mark.parametrize(
    "row", ['"a,2\n5,6', '"a\n5,6\n"b,2', '"a\n' + "7,8\n" * 40_000 + '",2']
)
def test_rows_whose_end_is_unknown_are_never_skipped(tmp_path, row):
    bad = []
    with pytest.raises(InputError, match="line 3: the quotes of a row must be"):
        rows(tmp_path / "a.csv", f"x,y\n1,2\n{row}\n3,4\n".encode(), bad)
    assert bad == []


def test_the_most_usual_name_decides_not_the_order_of_columns():
    usual = ("input", "text")
    for columns in (["text", "Input", "x"], ["Input", "x", "text"]):
        assert usual_column(columns, usual) == "Input"
    assert usual_column(["x", "TEXT", "text"], usual) == "TEXT"
    assert usual_column(["x"], usual) is None


def test_a_line_without_end_takes_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "_MAX_LINE", 1000)
    path = tmp_path / "a.jsonl"
    path.write_bytes(gzip.compress(b" " * 10**6))
    with pytest.raises(InputError, match="lines of at most 1,000 bytes"):
        RecordFile(path)

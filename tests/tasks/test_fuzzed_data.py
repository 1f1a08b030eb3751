"""Files of one's own are accepted, or refused in a line."""

import gzip
import json

import fuzzing
import pytest
from hypothesis import strategies as st

from keras_lstm.tasks.token_sequences import TokenSequences

CSV = b'text,label,part\n"ab, c",x,train\nba,y,train\nabc,x,test\nc,y,dev\n'
TABS = b"text\ttags\nabc\txyx\nba\tyx\ncab\txxy\n"
ROWS = [
    {"text": ["a", "b"], "label": True},
    {"text": ["b"], "label": False},
    {"text": ["c", "a b"], "label": True},
    {"text": ["b", "d"], "label": False},
]
SPLICES = [b'"', b",", b"\t", b"\n", b"\r\n", b"\0", b"\xff", b"\xef\xbb\xbf"]
SPLICES += [b"\xed\xa0\x80", b"x" * 5000, b"9" * 5000, b";", b'""', b"test"]
FLAGS = st.fixed_dictionaries(
    {},
    optional={
        "part": st.sampled_from(["part", "label", "no"]),
        "group": st.sampled_from(["part", "label", "no"]),
        "tokens": st.sampled_from(["characters", "words", "spaces", "list"]),
        "target_kind": st.sampled_from(["label", "per_token"]),
        "max_length": st.sampled_from([1, 2, 2**60]),
        "bad_rows": st.just("skip"),
        "test_fraction": st.sampled_from([0.0, 0.5, 0.9]),
    },
)


def read(path, content, options):
    path.write_bytes(content)
    task = TokenSequences(data=str(path), **options)
    for split in vars(task.splits(0)).values():
        if split is not None and split.num_examples:
            split.batch(range(min(3, split.num_examples)))
    task.remarks()
    task.summary()


@fuzzing.TIERS
@pytest.mark.parametrize(
    "name",
    [
        "a.csv",
        pytest.param("a.tsv", marks=pytest.mark.slow),
        pytest.param("a.csv.gz", marks=pytest.mark.slow),
    ],
)
def test_tables(cases, tmp_path, name):
    valid = {"a.csv": CSV, "a.tsv": TABS, "a.csv.gz": gzip.compress(CSV)}
    fuzzing.survives(
        lambda case: read(tmp_path / name, *case),
        st.tuples(fuzzing.damaged([valid[name]], SPLICES), FLAGS),
        cases,
    )


@fuzzing.TIERS
def test_json_lines(cases, tmp_path):
    def lines(rows):
        text = "\n".join(json.dumps(row) for row in rows)
        return text.encode("utf-8", "surrogatepass")

    fuzzing.survives(
        lambda case: read(tmp_path / "a.jsonl", *case),
        st.tuples(
            st.one_of(
                fuzzing.damaged([lines(ROWS)], SPLICES),
                fuzzing.damaged_tree(ROWS, fuzzing.ODD_VALUES[:-1]).map(
                    lambda tree: lines(
                        tree if isinstance(tree, list) else [tree]
                    )
                ),
            ),
            FLAGS,
        ),
        cases,
    )

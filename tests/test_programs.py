"""Small programs, stock and with the pieces of this package (slow)."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "benchmarks" / "programs.py"
PROGRAMS = sorted(
    path.stem for path in (ROOT / "tests" / "programs").glob("[a-z]*.py")
)


def test_each_program_has_a_row_in_the_documents():
    text = (ROOT / "docs" / "compatibility.md").read_text()
    assert len(PROGRAMS) >= 15
    assert all(f"| `{name}` |" in text for name in PROGRAMS)
    assert "✗ |" not in text


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_piece_does_as_stock_keras_or_refuses(name):
    command = [sys.executable, str(SCRIPT), "--only", name]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "✗" not in done.stdout
    assert done.returncode == 0, done.stderr

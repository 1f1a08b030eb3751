#!/usr/bin/env python3
"""Ask pip-audit whether versions in constraints.txt have known vulnerabilities.

Exit with 1 if there are some. pip-audit calls packages that its database did
not answer for "skipped", and succeeds: here they are counted and named.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

ROOT = pathlib.Path(__file__).parents[1]


def summarize(dependencies: list[dict[str, Any]]) -> tuple[int, list[str]]:
    """Say what was found, and what was not asked.

    Args:
        dependencies: the packages of pip-audit's JSON.

    Returns:
        The exit code, and the lines to print.
    """
    skipped = [each["name"] for each in dependencies if "skip_reason" in each]
    lines = [
        f"{each['name']} {each['version']}: {found['id']}, fixed in "
        f"{', '.join(found['fix_versions']) or 'no version'}"
        for each in dependencies
        for found in each.get("vulns", [])
    ]
    code = int(bool(lines))
    asked = len(dependencies) - len(skipped)
    lines.append(
        f"pip-audit: {len(lines)} known vulnerabilities in {asked:,} of "
        f"{len(dependencies):,} packages"
    )
    if skipped:
        lines.append(f"NOT CHECKED (offline?): {', '.join(skipped)}")
    return code, lines


def main() -> None:
    """Run pip-audit and print its findings.

    Raises:
        SystemExit: with 1, if a vulnerability is known.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "audit.json"
        command = (
            *(sys.executable, "-m", "pip_audit", "--requirement"),
            *("constraints.txt", "--no-deps", "--disable-pip"),
            *("--progress-spinner", "off"),
            *("--format", "json", "--output", str(output)),
        )
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False
        )
        # Without an answer, pip-audit fails and leaves no file.
        if not output.exists() or not output.stat().st_size:
            last = done.stderr.strip().splitlines()[-1:]
            print("NOT CHECKED (offline?): all packages.", *last)
            return
        found = json.loads(output.read_text())
    code, lines = summarize(found["dependencies"])
    print("\n".join(lines))
    sys.exit(code)


if __name__ == "__main__":
    main()

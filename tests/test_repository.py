"""What a host of repositories reads, and what each release needs."""

import pathlib
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile

import pytest
import yaml
from check_jsonschema import main as check_jsonschema

import keras_lstm

ROOT = pathlib.Path(__file__).parents[1]
SCHEMAS = {
    ".github/workflows/tests.yml": "github-workflows",
    ".github/dependabot.yml": "dependabot",
    ".github/ISSUE_TEMPLATE/bug.yml": "github-issue-forms",
    ".github/ISSUE_TEMPLATE/feature.yml": "github-issue-forms",
    ".github/ISSUE_TEMPLATE/config.yml": "github-issue-config",
    "CITATION.cff": "citation-file-format",
}
WORKFLOW = ROOT / ".github" / "workflows" / "tests.yml"


def check(path, schema):
    """Return the exit code of check-jsonschema, which is offline here."""
    flags = ["--builtin-schema", f"vendor.{schema}", "--quiet"]
    flags += ["--default-filetype", "yaml", str(path)]
    with pytest.raises(SystemExit) as ended:
        check_jsonschema(flags)
    return ended.value.code


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_file_meets_its_schema(name):
    assert check(ROOT / name, SCHEMAS[name]) == 0


def test_each_file_for_the_host_is_checked():
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / ".github").rglob("*")
        if path.is_file()
    }
    assert found | {"CITATION.cff"} == set(SCHEMAS)


def test_a_wrong_workflow_is_found(tmp_path):
    wrong = tmp_path / "wrong.yml"
    text = WORKFLOW.read_text()
    assert text.count("    runs-on: ") >= 4
    wrong.write_text(text.replace("    runs-on: ", "    runs-of: ", 1))
    assert check(wrong, "github-workflows") == 1


def test_the_workflow_tests_each_python_and_runs_scripts_that_are_there():
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    pythons = jobs["quick"]["strategy"]["matrix"]["python"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    first, last = pythons[0], pythons[-1].split(".")[1]
    assert project["requires-python"] == f">={first},<3.{int(last) + 1}"
    commands = {
        step["run"]
        for job in jobs.values()
        for step in job["steps"]
        if "run" in step
    }
    assert commands == {
        *("scripts/test", "scripts/test --slow", "scripts/docs"),
        "scripts/release --without-tests",
        "scripts/test --matrix oldest newest",
    }
    for command in commands:
        assert (ROOT / command.split()[0]).is_file()


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == keras_lstm.__version__
    heading = f"## {keras_lstm.__version__} - {citation['date-released']}\n"
    assert heading in (ROOT / "CHANGELOG.md").read_text()


def test_hooks_run_tools_that_are_pinned():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    pinned = re.findall(
        r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.M
    )
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    assert len(hooks) == 4
    for hook in hooks:
        folder, _, tool = hook["entry"].split()[0].rpartition("/")
        assert folder == ".venv/bin"
        assert tool in pinned


def test_each_group_is_pinned():
    text = (ROOT / "constraints.txt").read_text().lower().replace("_", "-")
    pinned = set(re.findall(r"^([\w.-]+)==", text, re.M))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for group in project["dependency-groups"].values():
        for each in group:
            if isinstance(each, str):
                assert re.match(r"[\w.-]+", each)[0] in pinned


def test_the_site_has_every_page():
    text = (ROOT / "mkdocs.yml").read_text()
    pages = {
        str(path.relative_to(ROOT / "docs"))
        for path in (ROOT / "docs").rglob("*.md")
    }
    listed = re.findall(r"(\S+\.md)$", text.split("\nnav:\n")[1], re.M)
    assert len(listed) == len(set(listed))
    spaces = [
        "keras_lstm",
        *(
            name
            for name in keras_lstm.__all__
            if (ROOT / "keras_lstm" / name).is_dir()
            or name in ("errors", "losses", "metrics", "testing")
        ),
    ]
    made = {f"api/{name}.md" for name in spaces}
    assert set(listed) == pages | made | {"contributing.md", "changelog.md"}
    assert "_url:" not in text


def test_the_readme_and_the_start_page_show_the_same_first_run():
    readme, start = (
        re.findall(r"^```console\n.*?^```", path.read_text(), re.M | re.S)
        for path in (ROOT / "README.md", ROOT / "docs" / "index.md")
    )
    run, _, commands = readme[:3]
    assert start[:2] == [commands, run]


@pytest.fixture
def checkout(tmp_path):
    """Return a function that runs scripts/release in a small repository."""
    names = ("scripts/release", "scripts/environment.sh", "CITATION.cff")
    for name in (*names, "CHANGELOG.md", "keras_lstm/core/version.py"):
        copy = tmp_path / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((ROOT / name).read_bytes())
        copy.chmod((ROOT / name).stat().st_mode)

    def git(*arguments):
        who = ("-c", "user.name=A", "-c", "user.email=a@example.com")
        command = ["git", *who, *arguments]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    def release(name, old, new, commit, *arguments):
        text = (tmp_path / name).read_text()
        assert old in text
        (tmp_path / name).write_text(text.replace(old, new, 1))
        git("init")
        git("add", "." if commit else "scripts")
        git("commit", "--message", "all")
        return subprocess.run(
            [tmp_path / "scripts" / "release", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )

    return release


@pytest.mark.parametrize(
    ("change", "commit", "arguments", "code", "problem"),
    [
        (("CHANGELOG.md", "# ", "# "), False, (), 1, "not committed"),
        (("CHANGELOG.md", "## 0", "## 9"), True, (), 1, "must begin with"),
        (("CITATION.cff", "version: 0", "version: 9"), True, (), 1, "version"),
        (("CHANGELOG.md", "# ", "# "), True, ("--now",), 2, "Received: --now"),
    ],
)
def test_a_release_is_refused(
    checkout, change, commit, arguments, code, problem
):
    done = checkout(*change, commit, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("release: error: ")
    assert problem in line


@pytest.mark.slow
def test_packages_are_built_with_the_same_bytes(tmp_path):
    pytest.importorskip("build")
    built = []
    for name in ("once", "again"):
        script = ROOT / "scripts" / "build_packages.py"
        command = [sys.executable, script, tmp_path / name]
        subprocess.run(command, check=True, capture_output=True)
        files = sorted((tmp_path / name).iterdir())
        built.append({path.name: path.read_bytes() for path in files})
    version = keras_lstm.__version__
    assert list(built[0]) == [
        f"keras_lstm-{version}-py3-none-any.whl",
        f"keras_lstm-{version}.tar.gz",
    ]
    assert built[0] == built[1]
    wheel, archive = sorted((tmp_path / "once").iterdir())
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    with tarfile.open(archive) as file:
        names_of_archive = {
            name.partition("/")[2] for name in file.getnames()
        } - {""}
    package = ROOT / "keras_lstm"
    data = {
        str(path.relative_to(ROOT))
        for path in (
            *(package / "pages" / "assets").iterdir(),
            *package.rglob("*.pyi"),
            package / "py.typed",
        )
    }
    for found in (names, names_of_archive):
        assert data <= found
        assert not [name for name in found if name.startswith("tests")]


def test_an_audit_counts_what_it_did_not_ask(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from audit import summarize

    fine = {"name": "a", "version": "1", "vulns": []}
    skipped = {"name": "b", "skip_reason": "not found"}
    flaw = {"id": "X-1", "fix_versions": ["2.1"]}
    bad = {"name": "c", "version": "2", "vulns": [flaw]}
    assert summarize([fine]) == (
        0,
        ["pip-audit: 0 known vulnerabilities in 1 of 1 packages"],
    )
    # A package that was not asked hides no vulnerability of another.
    assert summarize([skipped, bad]) == (
        1,
        [
            "c 2: X-1, fixed in 2.1",
            "pip-audit: 1 known vulnerabilities in 1 of 2 packages",
            "NOT CHECKED (offline?): b",
        ],
    )

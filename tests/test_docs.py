"""What the documents say is run, and compared with the disk."""

import doctest
import importlib
import pathlib
import pkgutil
import re
import subprocess
import types

import house
import pytest

import keras_lstm
from keras_lstm.presets import PRESETS, describe

ROOT = pathlib.Path(__file__).parents[1]
DOCUMENTS = [
    str(path.relative_to(ROOT))
    for path in sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])
    if "```python" in path.read_text()
]
NAMESPACES = [
    name
    for name in keras_lstm.__all__
    if isinstance(getattr(keras_lstm, name), types.ModuleType)
]
# Their examples train or search for longer.
LONG = [
    f"docs/{name}.md"
    for name in ("predicting", "proof", "recipes", "tuning", "tutorials")
]
MODULES = [
    module.name
    for module in pkgutil.walk_packages(keras_lstm.__path__, "keras_lstm.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in LONG))
        for name in DOCUMENTS
    ],
)
def test_the_snippets_of_a_document_run_from_top_to_bottom(
    tmp_path, monkeypatch, name
):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / name).read_text()
    snippets = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    assert {"README.md", "docs/tutorials.md"} <= set(DOCUMENTS)
    namespace = {"__name__": "document"}
    for snippet in snippets:
        exec(compile(snippet, name, "exec"), namespace)  # noqa: S102


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_are_right(name):
    module = importlib.import_module(name)
    public = {}
    for space in (keras_lstm, *map(keras_lstm.__getattr__, NAMESPACES)):
        public |= {name: getattr(space, name) for name in dir(space)}
    names = {"np": importlib.import_module("numpy")} | public
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    results = doctest.testmod(module, extraglobs=names, optionflags=flags)
    assert results.failed == 0


def test_some_modules_have_examples():
    with_examples = [
        name
        for name in MODULES
        if ">>> "
        in pathlib.Path(importlib.import_module(name).__file__).read_text()
    ]
    assert len(with_examples) >= 6


def test_the_readmes_tree_is_what_is_on_the_disk():
    text = (ROOT / "README.md").read_text()
    (tree,) = re.findall(r"^```text\n(.*?)^```", text, re.M | re.S)
    listed, folder = set(), ""
    for line in tree.splitlines():
        name, description = (
            line.split(maxsplit=1) if " " in line else (line, "")
        )
        if not line.startswith(" "):
            folder = name
        else:
            assert description, name
            name = folder + name
        listed.add(name)
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    folders = {
        "/".join(parts[:depth]) + "/"
        for parts in (name.split("/") for name in tracked)
        for depth in (1, 2)
        if len(parts) > depth and parts[0] not in (".ci", ".github")
    }
    told = {name for name in folders if name.count("/") == 1}
    for name in ("keras_lstm/", "scripts/"):
        told |= {each for each in folders if each.startswith(name)}
    config = {f"keras_lstm/{name}.py" for name in house.CONFIG_MODULES}
    assert listed == told | config


def test_the_readme_is_short_and_links_what_there_is():
    for name, longest in (("README.md", 250), ("CONTRIBUTING.md", 100)):
        text = (ROOT / name).read_text()
        assert len(text.splitlines()) <= longest
        links = re.findall(r"\]\(([^)#:]+)\)", text)
        assert links
        for link in links:
            assert (ROOT / link).exists(), link


def test_the_changelog_begins_with_this_version():
    text = (ROOT / "CHANGELOG.md").read_text()
    first = re.findall(r"^## (\S+)", text, re.M)[0]
    assert first == keras_lstm.__version__


def test_contributing_tells_every_room_in_order():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    rooms = re.findall(r"^\| `([a-z_]+)(?:/|\.py)", text, re.M)
    assert rooms == list(house.ROOMS)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_readme_lists_every_preset(name):
    text = (ROOT / "README.md").read_text()
    (row,) = re.findall(rf"^\| `{name}` .*$", text, re.M)
    result = describe(name)["result"].split("(")[0]
    figures = re.findall(r"\d[\d.,]*%?(?<![.,])", result)
    told = re.findall(r"\d[\d.,]*%?(?<![.,])", row)
    assert len(figures) >= 2
    assert set(figures) <= set(told)


def test_no_path_of_a_machine_and_no_registry_is_written_down():
    tracked = subprocess.run(
        ["git", "ls-files"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    for name in tracked:
        text = (ROOT / name).read_bytes()
        for word in (b"/wo" + b"rk/", b"/ro" + b"ot/", b"py" + b"pi.org"):
            assert word not in text, name

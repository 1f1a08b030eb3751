"""The site of docs/: built strictly, and looked at in a browser (slow)."""

import functools
import http.server
import pathlib
import shutil
import subprocess
import sys
import threading

import pytest

pytestmark = pytest.mark.slow
pytest.importorskip("mkdocs")
sync_api = pytest.importorskip("playwright.sync_api")
ROOT = pathlib.Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PAGES = ("index", "proof", "api/callbacks")


def build(root, site):
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(site)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the address of the site, on this machine."""
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        yield found
        found.close()


@pytest.fixture
def open_page(site, browser):
    """Return a function that opens a page, which must load nothing else."""
    contexts, requests, problems = [], [], []

    def open_page(name, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{site}/{name}.html")
        page.wait_for_load_state("networkidle")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert requests
    assert [url for url in requests if not url.startswith(site)] == []
    assert problems == []


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1300, 390])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious(open_page, name, width, color_scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    viewport = {"width": width, "height": 900}
    page = open_page(name, viewport=viewport, color_scheme=color_scheme)
    scheme = page.locator("body").get_attribute("data-md-color-scheme")
    assert scheme == {"light": "default", "dark": "slate"}[color_scheme]
    assert page.evaluate("document.documentElement.scrollWidth") == width
    found = axe.Axe().run(page).response["violations"]
    assert [
        (each["id"], [node["html"][:150] for node in each["nodes"]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ] == []


def test_the_search_finds_a_name(open_page):
    page = open_page("index")
    box = page.locator("input.md-search__input")
    box.click()
    box.press_sequentially("StopAtFullAccuracy")
    results = page.locator(".md-search-result__link")
    results.filter(has_text="StopAtFullAccuracy").first.click()
    page.wait_for_url("**/api/callbacks.html*")
    heading = page.locator("h2[id='keras_lstm.callbacks.StopAtFullAccuracy']")
    assert heading.is_visible()


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("docs/runs.md", "[lost](nowhere.md)", "nowhere.md"),
        ("docs/runs.md", "[lost](proof.md#nothing)", "#nothing"),
        ("docs/runs.md", "[lost](../scripts/nothing)", "scripts/nothing"),
        ("docs/runs.md", "[lost][keras_lstm.Nothing]", "keras_lstm.Nothing"),
        ("docs/api/index.md", "::: keras_lstm.Nothing", "keras_lstm.Nothing"),
        ("CONTRIBUTING.md", "[lost](docs/nothing.md)", "nothing.md"),
        ("docs/new.md", "# In no menu", "new.md"),
    ],
)
def test_a_mistake_fails(tmp_path, name, text, problem):
    names = ("docs", "keras_lstm", "scripts", "mkdocs.yml")
    for each in (*names, "CONTRIBUTING.md", "CHANGELOG.md"):
        source, copy = ROOT / each, tmp_path / each
        if source.is_dir():
            hidden = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, copy, ignore=hidden)
        else:
            shutil.copy(source, copy)
    with (tmp_path / name).open("a") as file:
        file.write(f"\n{text}\n")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode == 1
    assert problem in done.stderr

"""A browser for the slow tests of pages."""

import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        yield found
        found.close()


@pytest.fixture
def open_file(browser):
    """Return a function that opens a page, which must run cleanly."""
    contexts, problems = [], []

    def open_file(path, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        address = path.resolve().as_uri()

        def on_request(request):
            is_link = request.is_navigation_request()
            allowed = ("data:", "file:" if is_link else address)
            if not request.url.startswith(allowed):
                problems.append(request.url)

        page.on("request", on_request)
        page.goto(address)
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert problems == []

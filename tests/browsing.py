"""Pages in a real browser: how they are looked at, and what all must meet."""

import pytest

LOOKS = [
    pytest.param(
        {
            "color_scheme": color_scheme,
            "viewport": {"width": width, "height": 800},
            # Axe is a script that is not the page's own.
            "bypass_csp": True,
        },
        id=f"{color_scheme} {width}",
    )
    for color_scheme in ("light", "dark")
    for width in (1200, 390)
]


def scroll_width(page):
    """Return the width of all that a page shows."""
    return page.evaluate("document.documentElement.scrollWidth")


def check_with_axe(page):
    """Open what is closed, and refuse serious problems and wide pages."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    for summary in page.locator("summary").all():
        summary.click()
    assert scroll_width(page) == page.viewport_size["width"]
    found = axe.Axe().run(page).response["violations"]
    assert [
        (each["id"], [node["html"][:100] for node in each["nodes"]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ] == []

"""Pages of the bridge in headless Chromium, Debian's, and what axe-core finds in them."""

from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from support.network import DEADLINE
from support.program import ROOT
from support.tools import install_npm

HERE = Path(__file__).parent
CHROMIUM = [Path("/usr/bin") / name for name in ("chromium", "chromium-browser", "google-chrome")]
SIZES = {"phone": {"width": 390, "height": 844}, "desktop": {"width": 1280, "height": 900}}


@pytest.fixture(scope="module", params=["sqlite"])
def store_name(request):
    """A page does not know the store."""
    return request.param


@pytest.fixture(scope="session")
def browser():
    program = next((path for path in CHROMIUM if path.exists()), None)
    if not program:
        pytest.skip("needs Chromium: deploy/packages chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe():
    """The source of axe-core."""
    folder = install_npm(ROOT / "build" / "browser", HERE / "package.json")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.fixture
def open_page(browser, bridge):
    """open_page(path, size="desktop", scheme="light"): a page as a new visitor sees it, filled. In the end
    none has said anything on its console or asked another host."""
    contexts, said, asked = [], [], []

    def open_page(path, size="desktop", scheme="light", **options):
        context = browser.new_context(viewport=SIZES[size], color_scheme=scheme, **options)
        context.set_default_timeout(4000 * DEADLINE)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(bridge.url + path)
        page.wait_for_selector("main > header")
        return page

    open_page.said = said
    yield open_page
    for context in contexts:
        context.close()
    assert said == []
    assert [url for url in asked if not url.startswith((bridge.url, "data:"))] == []



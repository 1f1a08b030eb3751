"""Tests of TensorBoard's page in a real browser."""

import contextlib
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from keras_lstm.cli import main

pytestmark = pytest.mark.slow
sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# A software renderer is enough for the Projector's WebGL.
FLAGS = (
    *("--no-sandbox", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--ignore-gpu-blocklist"),
    *("--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
)


@pytest.fixture(scope="module")
def logdir(tmp_path_factory):
    """Return a folder of two finished runs, one exact and one with mistakes."""
    folder = tmp_path_factory.mktemp("logs")
    short = ("train", "increment", "--quiet", "--num-bits", "8")
    exact = ("--preset", "increment-proved", "--run-dir", f"{folder}/exact")
    assert main([*short, *exact]) == 0
    wrong = ("--epochs", "1", "--steps-per-epoch", "10")
    assert main([*short, *wrong, "--run-dir", f"{folder}/wrong"]) == 0
    return folder


@pytest.fixture(scope="module")
def address(logdir):
    """Yield the address at which TensorBoard serves the runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", logdir]
    with subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        found = f"http://127.0.0.1:{port}"
        end = time.monotonic() + 120
        runs = b""
        while b"wrong" not in runs:
            assert process.poll() is None, "TensorBoard has ended"
            assert time.monotonic() < end, "TensorBoard does not respond"
            with contextlib.suppress(OSError):
                runs = urllib.request.urlopen(f"{found}/data/runs").read()  # noqa: S310
            time.sleep(0.5)
        yield found
        process.terminate()


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=CHROMIUM, args=list(FLAGS)
        )
        yield found
        found.close()


@pytest.fixture
def look(browser, address):
    """Return a function that opens a tab of TensorBoard."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(60_000)

    def look(tab):
        page.goto(f"{address}/#{tab}")
        return page

    yield look
    page.close()


def test_scalars(look):
    page = look("scalars")
    for name in (
        *("epoch_loss", "epoch_learning_rate", "examples_per_second"),
        *("gradient_norm", "sequence_accuracy_by_carry_length"),
        "step_seconds",
    ):
        page.get_by_text(name, exact=True).first.wait_for()
    # The curve itself.
    page.locator("tf-line-chart-data-loader, vz-line-chart2").first.wait_for()


def test_images(look):
    page = look("images")
    for name in ("activations", "machine"):
        page.get_by_text(f"tag: {name}").first.wait_for()
    # TensorBoard unfolds the first two.
    page.get_by_text("proof", exact=True).first.click()
    page.get_by_text("tag: proof").first.wait_for()
    for name in ("sequence_accuracy_by_carry_length", "token_accuracy_by"):
        page.get_by_text(name).first.wait_for()
    picture = page.locator("tf-image-loader img").first
    picture.wait_for()
    page.wait_for_function(
        "() => { const find = (root) => [...root.querySelectorAll('*')]"
        ".flatMap(e => [e, ...(e.shadowRoot ? find(e.shadowRoot) : [])]);"
        "return find(document).some(e => e.tagName === 'IMG' && "
        "e.naturalWidth > 500) }"
    )


def test_text(look):
    page = look("text")
    page.get_by_text("Proved: for every binary number").first.wait_for()
    page.get_by_text("answers asked for here are wrong").first.wait_for()
    # Wrong bits are bold, in a table.
    page.locator("table strong").first.wait_for()


def test_hparams(look):
    page = look("hparams")
    for name in ("exact", "wrong"):
        page.get_by_text(name, exact=True).first.wait_for()
    page.get_by_text("learning_rate").first.wait_for()
    page.get_by_text("sequence_accuracy").first.wait_for()


def test_graphs(look):
    page = look("graphs")
    page.get_by_text("Main Graph").first.wait_for()


def test_projector(look):
    page = look("projector")
    frame = page.frame_locator("iframe").frame_locator("iframe")
    number = frame.locator(".numDataPoints").first
    sync_api.expect(number).to_have_text("1000", timeout=60_000)
    dimension = frame.locator(".dim").first
    sync_api.expect(dimension).to_have_text(re.compile("^(8|32)$"))
    # An option to color or label the points by.
    option = frame.get_by_text("state", exact=True).first
    option.wait_for(state="attached")

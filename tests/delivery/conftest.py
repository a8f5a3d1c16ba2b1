"""A browser for the tests of pages, where one is installed; and somebody who notices if a page asks."""

import functools
import http.server
import re
import shutil
import subprocess
import threading

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def chromium():
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
    )
    if not found:
        pytest.skip("needs chromium, which is not installed here")
    return functools.partial(_run_chromium, found)


def _run_chromium(program, page, folder, *flags):
    """What the browser logs when it shows a page in a window of its own profile."""
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    command = [program, *quiet, f"--user-data-dir={folder}", "--enable-logging=stderr", *flags, page.as_uri()]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=120, check=True)
    return done


@pytest.fixture
def asked():
    """The paths that a loopback server was asked for, and its address."""
    paths = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            paths.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield paths, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def in_frame(chromium, tmp_path):
    """`in_frame(page, width, script)`: the number that a script finds out about a page in a frame of that width.

    A frame, because the browser's own window is at least 500 pixels wide; in `script` it is `f`, its document `d`.
    """

    def measure(page, width, script):
        frame = tmp_path / "frame.html"
        frame.write_text(
            f"<!doctype html><title>unknown</title><iframe id=f style='width:{width}px;height:900px;border:0' "
            f"src='{page.as_uri()}'></iframe>"
            f"<script>f.onload=()=>{{const d=f.contentDocument;document.title=(()=>{{{script}}})()}}</script>"
        )
        flags = ("--dump-dom", "--allow-file-access-from-files", "--virtual-time-budget=3000")
        log = chromium(frame, tmp_path / "profile", *flags)
        return float(re.search("<title>(.*?)</title>", log.stdout)[1])

    return measure


@pytest.fixture
def overhang(in_frame):
    """`overhang(page, width)`: by how many pixels a page is wider than a window of that width."""
    script = "const e=d.documentElement;return e.scrollWidth-e.clientWidth"
    return lambda page, width: in_frame(page, width, script)


@pytest.fixture
def screenshot(chromium, tmp_path):
    """`screenshot(page, *flags)`: the pixels that the browser shows, uint8 `[height, width, 3]`."""

    def take(page, *flags, size=(900, 1200)):
        picture = tmp_path / "screenshot.png"
        window = f"--window-size={size[0]},{size[1]}"
        chromium(page, tmp_path / "profile", f"--screenshot={picture}", window, "--hide-scrollbars", *flags)
        return np.asarray(Image.open(picture).convert("RGB"))

    return take

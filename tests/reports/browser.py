"""A page in headless Chromium: what it drew and what it complained about."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# the test's own console line, to tell it from the page's
MARK = "TEST-SAYS"
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--enable-logging=stderr",
    # any request for another host fails, and says so on the console
    "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=15000", "--window-size=1400,1000",
)  # fmt: skip


class Visit(NamedTuple):
    """The document after its scripts ran, its console, and what the injected script logged."""

    dom: str
    console: list[str]
    said: list[str]


def visit(page: Path, profile: Path, *, script: str = "", width: int | None = None) -> Visit:
    """Open `page`, in a frame of `width` pixels if given, and run `script`; it logs with `say(text)`.

    The script starts when the page says that it has drawn.
    """
    inject = (
        "<script>(() => { const say = (text) => console.log('" + MARK + " ' + text);"
        "const wait = () => document.documentElement.dataset.drawn === undefined ? setTimeout(wait, 50) : run();"
        "const run = async () => {" + script + "}; wait(); })();</script></body>"
    )
    copy = page.with_name("visited.html")
    copy.write_text(page.read_text("utf-8").replace("</body>", inject), encoding="utf-8")
    opened = copy
    if width is not None:
        # a window is never narrower than 500 pixels, a frame may be
        opened = page.with_name("frame.html")
        opened.write_text(
            f"<iframe src='visited.html' style='border:0;width:{width}px;height:900px'></iframe>"
        )
    assert CHROMIUM is not None
    done = subprocess.run(
        [CHROMIUM, *_FLAGS, f"--user-data-dir={profile}", "--dump-dom", opened.resolve().as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    lines = re.findall(r"CONSOLE:?\d*\S* (.*)", done.stderr)
    said = [line.split(MARK, 1)[1].strip() for line in lines if MARK in line]
    return Visit(
        done.stdout, [line for line in lines if MARK not in line], [s.split('", source:')[0] for s in said]
    )

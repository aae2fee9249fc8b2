"""The pictures of ``explore`` and ``serve`` on the documentation's pages.

``make pictures`` runs this on what ``make demo`` left. Those of the terminal are what
Textual draws, as SVG; those of the browser need chromium and playwright.
"""

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright

from storify.explorer import Session
from storify.terminal import Explorer

DOCS = Path(__file__).parent
DATA = "demo_data"
#: The terminal's: what is pressed, one picture after the other.
PRESSED = {
    "explore-records": ["shift+tab", "down", "enter", "s", "down", "enter"],
    "explore-record": ["enter", *["down"] * 7, "enter", "down", "enter"],
}
#: The browser's, by their addresses.
SHOWN = {
    "serve-records": "/db/packages?where=name+~+py&sort=name",
    "serve-changes": "/db/daily_tasks/log",
}
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


async def explore() -> None:
    """Draw the terminal."""
    with Session(DATA) as session:
        app = Explorer(session)
        async with app.run_test(size=(100, 26)) as pilot:
            for name, keys in PRESSED.items():
                for key in keys:
                    await pilot.press(key)
                    await pilot.pause()
                drawn = app.export_screenshot(title=f"storify explore {DATA}")
                # It would fetch a font; nothing in the documentation is fetched.
                drawn = re.sub(r"@font-face\s*{[^}]*}\s*", "", drawn)
                drawn = drawn.replace("Fira Code", "monospace")
                (DOCS / f"{name}.svg").write_text(drawn.strip() + "\n")


@contextmanager
def served() -> Generator[str]:
    """Serve the data with the command; give the address that it prints."""
    command = [sys.executable, "-m", "storify", "serve", DATA, "--port", "0", "--write"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 - ours
        assert server.stdout is not None  # noqa: S101 - it was asked for
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def serve(chromium: str) -> None:
    """Draw the browser."""
    with served() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 960, "height": 540})
        page.goto(address)
        root = address.partition("/?")[0]
        for name, path in SHOWN.items():
            page.goto(root + path)
            end = page.locator("main").bounding_box() or {"y": 0, "height": 540}
            high = min(end["y"] + end["height"], 540)
            clip = {"x": 0, "y": 0, "width": 960, "height": high}
            page.screenshot(path=DOCS / f"{name}.png", clip=clip)
        browser.close()


def main() -> None:
    """Draw all that can be drawn here."""
    asyncio.run(explore())
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("chromium is not installed: the pictures of serve stay as they are")
    serve(chromium)


if __name__ == "__main__":
    main()

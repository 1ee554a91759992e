"""A real browser: headless Chromium, driven by its DevTools protocol, and axe-core to judge a page in it.

axe-core 4.14.1 lies in `tests/axe` as released, with its licences, so that neither npm nor a network is needed.
"""

import asyncio
import base64
import itertools
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

from tests.support import postgres, processes, programs
from tests.support.patience import COMES, ENDS

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
needs_browser = programs.needs(*NAMES)

DESKTOP, PHONE = (1280, 900), (390, 844)
"""Width and height in CSS pixels."""


class Look(NamedTuple):
    """How a page is shown: its theme, `light` or `dark`, and the size of the window."""

    theme: str
    size: tuple[int, int]


LOOKS = [Look(theme, size) for theme in ("light", "dark") for size in (DESKTOP, PHONE)]
_AXE = Path(__file__).parent.parent / "axe" / "axe.min.js"
_QUIET = ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
          "--disable-background-networking", "--disable-component-update", "--disable-extensions",
          "--no-proxy-server")  # fmt: skip
_COMPLETE = "document.readyState === 'complete'"
_STAND_STILL = "for (let last = setTimeout(() => 0); last > 0; last--) clearInterval(last)"
_OPEN_ALL = "document.querySelectorAll('details').forEach(each => { each.open = true })"
_SHOW_TO_ALL = """
document.querySelectorAll('[aria-hidden]').forEach(each => each.removeAttribute('aria-hidden'))
"""
# Signs and single figures are text here, whatever their characters are; the other options are axe-core's own.
_STRICT = """
axe.configure({checks: [{id: 'color-contrast', options: {
  ignoreUnicode: false, ignoreLength: true, ignorePseudo: false, pseudoSizeThreshold: 0.25,
  boldValue: 700, boldTextPt: 14, largeTextPt: 18, contrastRatio: {normal: {expected: 4.5}, large: {expected: 3}}}}]})
"""
_JUDGE = """
axe.run(%s).then(found => found.violations.concat(found.incomplete).flatMap(
  rule => rule.nodes.map(node => {
    const [why] = [...node.any, ...node.all, ...node.none];
    return `${rule.id}: ${node.html.slice(0, 150)}: ${why.message}`;
  })))
"""
_PIXELS = """
(async () => {
  const bytes = Uint8Array.from(atob('%s'), each => each.charCodeAt(0));
  const image = await createImageBitmap(new Blob([bytes], {type: 'image/png'}));
  const canvas = new OffscreenCanvas(image.width, image.height).getContext('2d');
  canvas.drawImage(image, 0, 0);
  const all = canvas.getImageData(0, 0, image.width, image.height).data;
  const pixel = (x, y) => all.slice(4 * (y * image.width + x), 4 * (y * image.width + x) + 3);
  %s
})()
"""


@dataclass(slots=True)
class Tab:
    """One page of the browser. Every method raises AssertionError where the browser reports an error."""

    _channel: aiohttp.ClientWebSocketResponse
    _session: str = ""
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command of the DevTools protocol; return its result."""
        number = next(self._numbers)
        order: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session:
            order["sessionId"] = self._session
        await self._channel.send_json(order)
        while True:
            told = await self._channel.receive_json(timeout=COMES)
            if told.get("id") == number:
                assert "error" not in told, f"{method}: {told['error']}"
                result: dict[str, Any] = told["result"]
                return result

    async def attach(self) -> None:
        """Make an empty page; all later commands are about it."""
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]

    async def show(self, address: str, look: Look) -> None:
        """Load the page; return when it is complete. It does not renew itself while it is looked at."""
        width, height = look.size
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=look.size == PHONE,
        )
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": look.theme}])
        answer = await self.call("Page.navigate", url=address)
        assert not answer.get("errorText"), f"{address}: {answer['errorText']}"
        async with asyncio.timeout(COMES):
            while not await self.evaluate(f"location.href !== 'about:blank' && {_COMPLETE}"):
                await asyncio.sleep(0.02)
        await self.evaluate(_STAND_STILL)

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, which may be a promise."""
        answer = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def screenshot(self) -> str:
        """The whole page, beyond the window too, as a PNG in base64."""
        answer = await self.call("Page.captureScreenshot", captureBeyondViewport=True, **(await self._whole()))
        return str(answer["data"])

    async def pixels(self, script: str) -> Any:
        """What the script returns, which sees the whole page as `pixel(x, y)`: red, green and blue."""
        return await self.evaluate(_PIXELS % (await self.screenshot(), script))

    async def _whole(self) -> dict[str, Any]:
        size = (await self.call("Page.getLayoutMetrics"))["cssContentSize"]
        return {"clip": size | {"scale": 1}}

    async def faults(self) -> list[str]:
        """All that axe-core finds or cannot decide, with everything unfolded: one line per rule and element.

        Contrast is judged also for what is hidden from screen readers: others see it.
        """
        await self.evaluate(_OPEN_ALL)
        await self.evaluate(f"{_AXE.read_text()};{_STRICT}")
        found: list[str] = await self.evaluate(_JUDGE % "{rules: {'color-contrast': {enabled: false}}}")
        await self.evaluate(_SHOW_TO_ALL)
        found += await self.evaluate(_JUDGE % "{runOnly: ['color-contrast']}")
        return found


@asynccontextmanager
async def browser() -> AsyncIterator[Tab]:
    """A page in a browser of the test's own for an `async with` block."""
    program = programs.find(*NAMES)
    assert program is not None, "chromium is not installed, and this run requires it"
    # Its sandbox does not start for root.
    alone = ("--no-sandbox",) if os.geteuid() == 0 else ()
    with postgres.scratch_dir() as folder:
        log = folder / "log"
        with log.open("wb") as said:
            process = await processes.start(
                program, *_QUIET, *alone, "--remote-debugging-port=0", f"--user-data-dir={folder / 'profile'}",
                "about:blank", stdout=said, stderr=said, env=os.environ | {"HOME": str(folder)},
            )  # fmt: skip
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(await _address(process, log), max_msg_size=0) as channel,
        ):
            tab = Tab(channel)
            await tab.attach()
            yield tab
            tab._session = ""
            await tab.call("Browser.close")
        await asyncio.wait_for(process.wait(), ENDS)


async def _address(process: asyncio.subprocess.Process, log: Path) -> str:
    async with asyncio.timeout(COMES):
        while (found := re.search(r"DevTools listening on (ws://\S+)\s", said := _said(log))) is None:
            if process.returncode is not None and os.geteuid() != 0 and "No usable sandbox" in said:
                pytest.skip("this system gives chromium no sandbox")
            assert process.returncode is None, said
            await asyncio.sleep(0.02)
    return found[1]


def _said(log: Path) -> str:
    return log.read_text(errors="replace")


def save(png: str, path: Path) -> None:
    """For people who want to see a page that failed."""
    path.write_bytes(base64.b64decode(png))

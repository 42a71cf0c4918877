"""`python -m tools.picture`: the beginning of the last run's report, as README shows it.

Opens reports/index.html in Chromium without a window and keeps docs/images/report.png. Needs Chromium with its driver
and the optional extra `browser`, Selenium.
"""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from asc_core import UserError
from asc_core.files import replacing
from pipeline.paths import PAGE, made
from tools.screenshot import browser

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

IMAGE = Path("docs/images/report.png")
WAIT_SECONDS = 60
UNDRAWN = "return [...document.querySelectorAll('[data-chart]')].filter(each => !each.querySelector('svg')).length"


def opened(chrome: "Chrome", page: Path, width: int, height: int, scheme: str = "light") -> None:
    """Open a page of the report at a size and in a colour scheme (light, dark), and wait for its charts.

    Raises:
        UserError: they are not drawn.
    """
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    chrome.get(page.resolve().as_uri())
    until = time.monotonic() + WAIT_SECONDS
    while chrome.execute_script(UNDRAWN):
        if time.monotonic() > until:
            raise UserError(f"{page}: {chrome.execute_script(UNDRAWN)} of its charts are not drawn")
        time.sleep(0.2)


def main() -> None:
    """Picture the report."""
    with browser() as chrome:
        opened(chrome, made(PAGE), 1280, 1300)
        with replacing(IMAGE) as temporary:
            chrome.save_screenshot(str(temporary))
    print(f"picture: {IMAGE}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"picture: error: {error}")

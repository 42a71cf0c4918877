"""`python -m tools.screenshot`: the seeds of the newest execution, side by side in MLflow's interface.

Opens the project's store in a real browser, Chromium without a window, holds what the pages show to what the store
says, and keeps a picture, docs/images/seeds.png. Needs Chromium with its driver and the optional extra `browser`,
Selenium.
"""

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from asc_core import UserError
from asc_core.files import replacing
from flows.servers.mlflow import mlflow_server
from flows.servers.process import free_address

if TYPE_CHECKING:
    from mlflow.entities import Run
    from selenium.webdriver import Chrome

IMAGE = Path("docs/images/seeds.png")
MODEL = "quantized"
WAIT_SECONDS = 60
# Without a window, a sandbox (containers have none) or anything that calls home; with a mouse, without which charts
# show their tools all the time.
OPTIONS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --force-device-scale-factor=1 "
    "--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4"
)


def newest(store: str, experiment: str) -> tuple["Run", dict[str, "Run"]]:
    """The newest execution that summarised more than one seed, and its children by name.

    Raises:
        UserError: there is none.
    """
    from mlflow import MlflowClient

    client = MlflowClient(store)
    found = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found.experiment_id], order_by=["start_time DESC"], max_results=1000) if found else []
    for parent in (run for run in runs if f"{MODEL}.accuracy.std" in run.data.metrics):
        of_parent = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
        children = {run.info.run_name: run for run in of_parent}
        if sum(name.startswith("evaluate@") for name in children) > 1:
            return parent, children
    raise UserError(f"no execution in the experiment {experiment} evaluated two seeds: `dvc repro` with seeds=[0, 1]")


@contextlib.contextmanager
def browser(*, logs: bool = False) -> Iterator["Chrome"]:
    """Chromium, with a profile of its own; with `logs` it keeps what pages write to the console and ask for.

    Raises:
        UserError: it or Selenium is not there.
    """
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        raise UserError("Chromium and its driver are needed: `apt-get install chromium chromium-driver`, or the like")
    try:
        from selenium import webdriver
    except ImportError:
        raise UserError("Selenium is needed: `pip install --editable '.[browser]'`") from None
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for option in (*OPTIONS.split(), f"--user-data-dir={profile}"):
            options.add_argument(option)
        if logs:
            options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        try:
            yield chrome
        finally:
            chrome.quit()


def show(chrome: "Chrome", url: str, parent: "Run", columns: list[str], size: tuple[int, int]) -> None:
    """Open a page of MLflow's interface with nothing in the way, `parent` unfolded and these metrics as columns."""
    chrome.set_window_size(*size)
    chrome.get(url.split("#")[0] + "health")  # a page of the same origin, where what a user had set can be set
    state = {
        "selectedColumns": [f"metrics.`{name}`" for name in columns],
        "runsExpanded": {parent.info.run_id: True},
        "searchFilter": "",
    }
    remembered = {
        f'MLflowLocalStorage-1.1-ExperimentPage-["{parent.info.experiment_id}"]-ReactComponentState': state,
        "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True,
        "mlflow.assistant.panelOpen_v1": False,
    }
    for key, value in remembered.items():
        chrome.execute_script("localStorage.setItem(arguments[0], arguments[1])", key, json.dumps(value))
    chrome.get(url)


def expect(chrome: "Chrome", words: list[str]) -> None:
    """Wait until the page shows all these words.

    Raises:
        UserError: some do not appear.
    """
    from selenium.common.exceptions import TimeoutException
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    def missing() -> list[str]:
        text = chrome.find_element(By.TAG_NAME, "body").text
        return [word for word in words if word not in text]

    try:
        WebDriverWait(chrome, WAIT_SECONDS, poll_frequency=0.5).until(lambda _: not missing())
    except TimeoutException:
        raise UserError(f"the page {chrome.current_url} does not show {', '.join(missing())}") from None


def screenshot(folder: Path, experiment: str) -> Path:
    """Look at the newest execution of the store in `folder`, and picture it.

    Raises:
        UserError: there is nothing to show, no browser to show it, or a page does not show it.
    """
    parent, children = newest(f"sqlite:///{folder / 'mlflow.db'}", experiment)
    try:
        from selenium.webdriver.common.by import By
    except ModuleNotFoundError:
        raise UserError("Selenium is not installed: `pip install -e '.[browser]'`") from None
    seeds = [children[name] for name in sorted(children) if name.startswith("evaluate@")]
    students = [children[name] for name in sorted(children) if name.startswith("train_student@")]
    means, accuracy = parent.data.metrics, f"{MODEL}.accuracy"
    devices = sorted(name for name in seeds[0].data.metrics if name.startswith(f"{accuracy}_by_device."))
    some = [devices[0], devices[len(devices) // 2], devices[-1]]
    names = [parent.info.run_name, *(run.info.run_name for run in seeds)]
    server = free_address()
    page = f"{server}/#/experiments/{parent.info.experiment_id}/runs"
    with browser() as chrome, mlflow_server(server, folder):
        # The list of runs: the mean of each device, a column, stands above those of the seeds.
        query = f"tags.stage = 'evaluate' AND tags.mlflow.parentRunId = '{parent.info.run_id}'"
        columns = [accuracy, f"{accuracy}.std", *devices]
        show(chrome, f"{page}?searchFilter={quote(query)}", parent, columns, (3000, 900))
        expect(
            chrome,
            [*names, *columns, *(f"{run.data.metrics[name]:.6g}" for run in [parent, *seeds] for name in devices)],
        )

        # The charts: curves of the trainings over each other, mean and seeds beside each other.
        runs = ", ".join(f"'{run.info.run_id}'" for run in [*seeds, *students])
        query = f"attributes.run_id IN ({runs})"
        url = f"{page}?compareRunsMode=CHART&searchFilter={quote(query)}"
        show(chrome, url, parent, [], (1440, 1210))
        expect(chrome, names)
        chrome.find_element(By.CSS_SELECTOR, "[aria-label='Toggle sidebar']").click()
        metrics = ["loss", accuracy, f"{accuracy}.std", *some]
        pattern = f"^({'|'.join(metrics)})$"  # no name that MLflow takes needs escaping more than its dots do
        chrome.find_element(By.CSS_SELECTOR, "input[placeholder='Search metric charts']").send_keys(pattern)
        values = [run.data.metrics[name] for run in [parent, *seeds] for name in [accuracy, *some]]
        shown = [f"{value:.2f}" for value in [*values, means[f"{accuracy}.std"]]]
        expect(chrome, [*(run.info.run_name for run in students), *metrics, *shown, f"({len(metrics)})"])
        (folder / IMAGE).parent.mkdir(parents=True, exist_ok=True)
        with replacing(folder / IMAGE) as temporary:
            temporary.write_bytes(chrome.get_screenshot_as_png())
    return folder / IMAGE


def main() -> int:
    """Picture the store in this folder; return what the process is to return."""
    from pipeline import params
    from pipeline.release.mlflow_client import prepare

    prepare()
    try:
        print(screenshot(Path.cwd(), params.load().tracking.experiment))
    except UserError as error:
        print(f"screenshot: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

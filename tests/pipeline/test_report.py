"""The report of a finished run, opened from disk in a real browser."""

import json
import re
import shutil

import pandas as pd
import pytest
import soundfile

from asc_core.files import read_json
from pipeline.reporting.tables import cell

SIZES = {"desk": (1280, 900, "light"), "phone": (390, 844, "dark")}


def test_a_finished_run_has_its_report(finished):
    html = (finished.folder / "reports/index.html").read_text()
    summary = read_json(finished.folder / "reports/summary.json")
    assert "Passed: all" in html and cell(summary["quantized"]["accuracy"]) in html
    assert html.count("<audio") == html.count("Spectrogram of") == 8
    assert "train_teacher@0-asc" in html and "<td>CPython" in html
    marks = re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)
    links = r"(?:src|href)=\"(?!data:|#)([^\"]*)"
    assert 'src="' in marks and re.findall(links, marks) == [
        f"{name}/index.html" for name in ("paper", "peers", "shares", "sweeps")
    ]
    curves = pd.read_csv(finished.folder / "reports/plots/curves.csv")
    assert len(curves) == 5 and curves.groupby("network")["epoch"].max()["teacher"] == 2
    assert all(f'id="curve-{network}-loss"' in html for network in ("teacher", "student", "pruned", "quantized"))
    assert len(html) < 5_000_000


@pytest.fixture
def chrome():
    if not shutil.which("chromedriver"):
        pytest.skip("needs Chromium and its driver")
    pytest.importorskip("selenium", reason="needs Selenium, the extra `browser`")
    from tools.screenshot import browser

    with browser(logs=True) as chrome:
        chrome.set_script_timeout(300)  # axe takes seconds, and many where the machine does much else
        yield chrome


def opened_without_network(chrome, page, size):
    """Open a page, and hold it to what it asks for and says."""
    from tools.picture import opened

    opened(chrome, page, *SIZES[size])
    messages = [json.loads(line["message"])["message"] for line in chrome.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    own = {"file", "data", "chrome", "chrome-untrusted"}  # the last two: its empty tab
    assert {url.partition(":")[0] for url in asked} <= own


def test_dvc_shows_the_headlines_and_draws_without_a_network(finished, tmp_path, chrome):
    workspace = finished.copy(tmp_path / "project")
    (found,) = json.loads(workspace.run("dvc", "metrics", "show", "--json").stdout)[""]["data"].items()
    summary = read_json(workspace.folder / "reports/summary.json")["quantized"]
    assert found[0] == "reports/headlines.json" and set(found[1]["data"]) == {
        "accuracy", "accuracy_seen", "accuracy_unseen", "accuracy_lost", "log_loss", "calibration_error",
        "counted_bytes", "macs",
    }  # fmt: skip
    assert found[1]["data"]["accuracy"] == pytest.approx(summary["accuracy"]["mean"], abs=1e-3)
    workspace.run("git", "add", "-A")
    workspace.run("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "tiny")
    workspace.run("dvc", "plots", "diff", "HEAD")
    opened_without_network(chrome, workspace.folder / "dvc_plots/index.html", "desk")
    texts = chrome.execute_script("return [...document.querySelectorAll('svg text')].map(each => each.textContent)")
    wanted = {"Learning curves", "teacher", "quantized", "Accuracy by device", "Confusion of the shipped network"}
    assert wanted <= set(texts)


def hold_to_what_everybody_can_use(chrome, size):
    """No message in the console, nothing beside the screen, and nothing that axe finds."""
    assert [line for line in chrome.get_log("browser") if line["level"] in ("SEVERE", "WARNING")] == []
    assert chrome.execute_script("return document.documentElement.scrollWidth") <= SIZES[size][0]
    axe = pytest.importorskip("axe_selenium_python", reason="needs axe, the extra `browser`")
    checker = axe.Axe(chrome)
    checker.inject()
    found = checker.run()["violations"]
    assert [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found] == []


@pytest.mark.parametrize("size", SIZES)
def test_the_report_opens_from_disk(finished, chrome, size):
    opened_without_network(chrome, finished.folder / "reports/index.html", size)
    summary = read_json(finished.folder / "reports/summary.json")
    second = "return [...document.querySelectorAll('#accuracy tbody tr')].map(row => row.children[1].innerText)"
    assert chrome.execute_script(second) == [cell(model["accuracy"]) for model in summary.values()]
    hold_to_what_everybody_can_use(chrome, size)


@pytest.mark.parametrize("size", SIZES)
def test_the_page_of_watched_recordings_opens_from_disk(finished, tmp_path, chrome, size):
    clips = tmp_path / "clips"
    clips.mkdir()
    for path in sorted((finished.folder / "data/synthetic/audio").glob("*-a.wav")):
        samples, rate = soundfile.read(path)
        soundfile.write(clips / path.name, samples[::2], rate // 2)  # a rate that training never heard
    finished.run("asc", "watch", "models/0/quantized.asc", str(clips), "--reports", str(tmp_path), check=False)
    opened_without_network(chrome, tmp_path / "clips.html", size)
    found = read_json(tmp_path / "clips.json")
    assert "They differ: " in chrome.find_element("css selector", "#verdict .bad").text
    rows = "return [...document.querySelectorAll('#devices > .wide tbody th')].map(each => each.innerText)"
    assert chrome.execute_script(rows) == list(found["devices"])
    hold_to_what_everybody_can_use(chrome, size)

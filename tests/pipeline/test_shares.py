"""Accuracy by share, small: ours and one system, on two shares of a corpus that has no lists of shares."""

import json
import os
import shutil

import pandas as pd
import pytest
from workspace import TINY, Workspace

from asc_core import UserError
from asc_core.corpus.shares import SHARES
from asc_core.features.store import FeatureStore
from pipeline import params
from pipeline.configure import configure
from pipeline.params import SplitSizes
from pipeline.runtime.journal import SilentJournal
from pipeline.shares import paths, settings
from pipeline.shares.stages.features import features, lists, whole
from pipeline.shares.stages.ours import ours
from pipeline.shares.stages.tables import tables
from pipeline.shares.stages.train import train
from pipeline.systems.share import share_of

PERCENT, SYSTEM = [50, 100], "asc_1"


@pytest.fixture(scope="module")
def project(rendered, tmp_path_factory):
    """A workspace in which all stages have run, in this process: each of its own would load torch anew."""
    folder = tmp_path_factory.mktemp("shares") / "project"
    Workspace.create(folder, [*TINY, "data.expect.counts=null"])
    configure(None, ["peers.epochs=0.01"], folder / "pipeline/peers/peers.yaml", settings.peers.PeersFile)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})  # for one process that extracts: more take longer to start than to extract
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        changes = [f"shares.percent={PERCENT}", "shares.seeds=[0]", f"shares.systems=[{SYSTEM}]"]
        configure(None, changes, folder / settings.SETTINGS, settings.SharesFile)
        (folder / "data").mkdir(exist_ok=True)
        (folder / "data/corpus.json").write_text(json.dumps({"root": str(rendered)}))
        configured, journal = params.load(), SilentJournal()
        features(configured, journal)
        for share in PERCENT:
            train(configured, journal, SYSTEM, 0, share)
            ours(configured, journal, 0, share)
        tables(configured, journal)
    os.sched_setaffinity(0, cores)
    return folder


def test_each_share_is_trained_on_alone_and_all_are_tested_on_the_same(project, monkeypatch):
    monkeypatch.chdir(project)
    whole = FeatureStore(paths.FEATURES)
    stores = {share: share_of(paths.FEATURES, paths.clips(share)) for share in SHARES}
    names = {share: {*store.clips["filename"].iloc[store.rows("train")]} for share, store in stores.items()}
    assert names[5] == names[50] < names[100] == {*whole.clips["filename"].iloc[whole.rows("train")]}
    assert all((store.rows("test") == whole.rows("test")).all() for store in stores.values())
    assert len({store.key() for store in (whole, stores[50], stores[100])}) == 3
    assert not stores[50].statistics()[0].equal(stores[100].statistics()[0])


def test_the_table_has_a_row_a_system_a_column_a_share_and_what_is_published(project):
    found = json.loads((project / paths.FILES.told("json")).read_text())
    assert [row["system"] for row in found["systems"]] == ["student", "quantized", SYSTEM]
    measured = json.loads((project / paths.FILES.measured("ours", 0, 50)).read_text())["quantized"]
    row = found["systems"][1]["shares"]
    assert row["50"]["accuracy"]["mean"] == measured["accuracy"] and list(row) == ["50", "100"]
    low, high = row["50"]["accuracy"]["interval"]
    assert low <= measured["accuracy"] <= high
    text = (project / paths.FILES.told("md")).read_text()
    assert "| system | 50 % | 100 % |" in text
    assert "| baseline of 2024, published, on TAU 2022 | 53.2 | 57.0 |" in text
    assert "50 %: " in text and "and nothing of who is ahead" in text
    assert (project / paths.FILES.told("png")).read_bytes().startswith(b"\x89PNG")
    page = (project / paths.FILES.page).read_text()
    assert f'<td class="number">{row["50"]["accuracy"]["mean"]:.1f} [' in page and 'id="shares-accuracy"' in page


def test_the_flow_finds_every_stage_up_to_date_where_dvc_has_its_outputs(project, set_up_prefect):
    workspace = Workspace(project)
    set_up_prefect(workspace.environment)
    workspace.run("dvc", "commit", "--force", "download", "pipeline/shares/dvc.yaml")
    chosen = ("--percent", "50", "--percent", "100", "--seed", "0")
    told = workspace.run("python", "-m", "flows.shares", *chosen, PREFECT_API_URL="http://127.0.0.1:9/api").stdout
    assert "Running stage" not in told
    assert told.count(": unchanged in") == 2 + 2 * len(PERCENT) + 1


def test_lists_that_the_corpus_has_are_taken_and_have_to_be_nested(project, rendered, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(project / "pipeline", "pipeline", ignore=lambda *_: ["__pycache__"])
    corpus, data = tmp_path / "corpus", params.load(project / "params.yaml").data
    shutil.copytree(rendered, corpus, copy_function=os.link)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/corpus.json").write_text(json.dumps({"root": str(corpus)}))
    made = lists(data)
    data = data.model_copy(update={"share": 25})
    data = data.model_copy(update={"lists": type(data.lists)(train="split_setup/split{share}.csv")})
    (corpus / "split_setup").mkdir()
    for share in SHARES:
        made[share].to_csv(corpus / f"split_setup/split{share}.csv", sep="\t", index=False)
    expect = data.expect.model_copy(update={"releases": {"share25": SplitSizes(train=1, test=1)}})
    assert whole(data.model_copy(update={"expect": expect})).expect.releases is None
    for share, table in lists(data).items():
        pd.testing.assert_frame_equal(table, made[share].reset_index(drop=True))
    made[100].to_csv(corpus / "split_setup/split10.csv", sep="\t", index=False)
    with pytest.raises(UserError, match=r"split10\.csv: audio/\S+ is not in split25\.csv; shares are nested"):
        lists(data)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("shares.systems=[asc_9]", r"shares\.systems\.0: unknown name 'asc_9', pipeline/peers/peers\.yaml has asc_1, "),
        ("shares.percent=[30]", r"shares\.percent\.0: "),
    ],
)
def test_a_bad_key_is_named(tmp_path, change, told):
    path = tmp_path / "shares.yaml"
    shutil.copy(settings.SETTINGS, path)
    with pytest.raises(UserError, match=told):
        configure(None, [change], path, settings.SharesFile)

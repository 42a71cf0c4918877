"""`asc watch` on a finished run: its own clips raise no alarm, clips through another device do."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import soundfile

from asc_core.files import read_json

MODEL = "models/0/quantized.asc"


def test_clips_of_another_device_and_rate_are_noticed(finished, tmp_path):
    clips = pd.read_parquet(finished.folder / "data/clips.parquet")
    names = clips[(clips["split"] == "test") & (clips["device"] == "a")]["filename"]
    same, other = tmp_path / "same", tmp_path / "other"
    same.mkdir()
    other.mkdir()
    for name in names:
        path = finished.folder / "data/synthetic" / name
        shutil.copy(path, same)
        samples, rate = soundfile.read(path)
        dull = np.convolve(samples, np.ones(24) / 24, mode="same")
        soundfile.write(other / f"{path.stem}.flac", dull[::2], rate // 2)
    done = finished.run("asc", "watch", MODEL, str(same))
    assert f"{len(names)} recordings; of the devices of training most like a" in done.stdout
    assert done.stdout.endswith("report: reports/watch/same.html, for a browser\n")
    page = (finished.folder / "reports/watch/same.html").read_text()
    assert "Nothing has moved" in page and '"device": "new recordings"' in page
    done = finished.run("asc", "watch", MODEL, str(other), "--json", check=False)
    told, _, line = done.stdout.rpartition("asc: error: ")
    found = json.loads(told)
    assert found == read_json(finished.folder / "reports/watch/other.json")
    assert done.returncode == 1 and found["rates_never_heard"] == [22050] and found["moved"]
    assert "quantities have moved from those of every training device and training never heard 22050 Hz" in line
    page = (finished.folder / "reports/watch/other.html").read_text()
    assert "They differ: " in page and "training never heard 22050 Hz. Results on these" in page
    assert set(found["devices"]) == {"a", "b", "c", "s1", "s2", "s3"}
    assert re.findall(r'<th scope="row">([abcs1-3]+)</th>', page) == list(found["devices"])

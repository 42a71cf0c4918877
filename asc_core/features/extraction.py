"""The features of a whole corpus, into a feature store."""

import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.lib.format import open_memmap

from asc_core.features.audio import read_samples
from asc_core.features.config import FeatureConfig
from asc_core.features.log_mel import LogMel, fit_length
from asc_core.files import digest, replacing, stamp, write_json
from asc_core.progress import track


def extract(corpus: Path, clips: pd.DataFrame, config: FeatureConfig, folder: Path, work: Path, workers: int) -> None:
    """Write the feature store of `clips` (as `corpus.layout` reads them, with `seconds`) to `folder`.

    All clips get the most common length among them. Rows are written in place by `workers` processes into an array
    under `work`, which an interrupted call leaves and the next one with the same clips continues; the finished store
    is then moved to `folder`.

    Raises:
        UserError: a clip cannot be decoded.
    """
    seconds = float(clips["seconds"].round(3).mode().iloc[0])
    shape = (len(clips), config.n_mels, config.frames(seconds))
    paths = [corpus / name for name in clips["filename"]]
    stamps = np.array([stamp(path) for path in paths], dtype=np.uint64)
    key = digest(asdict(config), seconds, clips["filename"].tolist())
    part = work / key
    part.mkdir(parents=True, exist_ok=True)
    array_path, done_path = part / "features.npy", part / "done.npy"
    for path, dtype, size in ((array_path, np.float16, shape), (done_path, np.uint64, shape[:1])):
        if not path.exists():
            with replacing(path) as temporary:
                open_memmap(temporary, mode="w+", dtype=dtype, shape=size).flush()
    done = open_memmap(done_path, mode="r+")
    todo = np.flatnonzero(done != stamps)
    jobs = [(int(row), str(paths[row])) for row in todo]
    length = round(seconds * config.sample_rate)
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(array_path, config, length)
    ) as pool:
        try:
            for row in track(pool.map(_extract_row, jobs, chunksize=4), len(jobs), "features"):
                done[row] = stamps[row]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        finally:
            done.flush()
    clips.reset_index(drop=True).to_parquet(part / "clips.parquet", index=False)
    write_json(part / "features.json", {"config": asdict(config), "seconds": seconds})
    del done
    done_path.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    os.replace(part, folder)
    shutil.rmtree(work, ignore_errors=True)


# What a worker process keeps between clips.
_array: np.ndarray
_log_mel: LogMel
_length: int


def _start_worker(array_path: Path, config: FeatureConfig, length: int) -> None:
    global _array, _log_mel, _length
    torch.set_num_threads(1)  # the processes are the parallelism
    _array, _log_mel, _length = open_memmap(array_path, mode="r+"), LogMel(config), length


def _extract_row(job: tuple[int, str]) -> int:
    row, path = job
    samples = read_samples(Path(path), _log_mel.config.sample_rate)
    _array[row] = _log_mel(fit_length(samples, _length))
    return row

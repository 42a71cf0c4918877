"""The features of a whole corpus, into a feature store."""

import contextlib
import itertools
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.lib.format import open_memmap

from asc_core.cores import usable_cores
from asc_core.errors import UserError
from asc_core.features.audio import read_blocks
from asc_core.features.config import FeatureConfig
from asc_core.features.log_mel import LogMel, cut_windows
from asc_core.features.recordings import recut
from asc_core.files import digest, remove, replacing, stamp, write_json, writing
from asc_core.progress import track

SECONDS_A_PROCESS = 1000  # of sound: about as many are extracted in the time that another process takes to start
Job = tuple[range, list[str]]  # the rows of one recording's clips, and its files


def extract(
    corpus: Path, clips: pd.DataFrame, config: FeatureConfig, folder: Path, work: Path, workers: int | None = None
) -> None:
    """Write the feature store of `clips` (as `corpus.layout` reads them, with `seconds`) to `folder`.

    All clips get the median of their lengths, which is the common one wherever most of them share one; longer ones are
    cut, shorter ones repeated. Rows are written in place by `workers` processes (one is this process; None is one per
    core that has enough to do) into an array under `work`, which an interrupted call leaves and the next one with the
    same clips continues; the finished store is then moved to `folder`. Links where any of that is to be are replaced,
    not followed.

    Where the configuration says how long clips are, the files are recordings that are cut into such, or put together.

    Raises:
        UserError: a clip cannot be decoded, or the disk is full.
    """
    if config.clip_seconds is None:
        clips = clips.reset_index(drop=True)
        recordings = [[name] for name in clips["filename"]]
    else:
        clips = recut(clips, config.clip_seconds)
        recordings = clips.pop("files").tolist()
    seconds = float(clips["seconds"].round(3).quantile(interpolation="lower"))
    shape = (len(clips), config.n_mels, config.frames(seconds))
    stamps = np.array([_stamp(corpus, names) for names in recordings], dtype=np.uint64)
    part = work / digest(asdict(config), seconds, clips["filename"].tolist())
    array_path, done_path = part / "features.npy", part / "done.npy"
    for path in (work, part, array_path, done_path):
        if path.is_symlink():
            remove(path)
    for path, dtype, size in ((array_path, np.float16, shape), (done_path, np.uint64, shape[:1])):
        if not path.exists():
            _create(path, dtype, size)
    done = open_memmap(done_path, mode="r+")
    todo = {int(row) for row in np.flatnonzero(done != stamps)}
    jobs = [
        (rows, [str(corpus / name) for name in names])
        for names, rows in _consecutive(recordings)
        if not todo.isdisjoint(rows)
    ]
    if workers is None:
        workers = min(usable_cores(), 1 + int(len(todo) * seconds / SECONDS_A_PROCESS))
    try:
        with _extracting(workers, array_path, config, round(seconds * config.sample_rate)) as extracted:
            for rows in track(extracted(jobs), len(jobs), "features"):
                done[rows.start : rows.stop] = stamps[rows.start : rows.stop]
    except BrokenProcessPool:
        raise UserError(f"{folder}: a process that extracts was killed; has the machine enough memory?") from None
    finally:
        done.flush()
    with replacing(part / "clips.parquet") as temporary:
        clips.to_parquet(temporary, index=False)
    write_json(part / "features.json", {"config": asdict(config), "seconds": seconds})
    del done
    remove(done_path)
    remove(folder)
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        os.replace(part, folder)
    shutil.rmtree(work, ignore_errors=True)


def _stamp(corpus: Path, names: list[str]) -> int:
    """A number that changes when one of a recording's files does; never 0."""
    stamps = [stamp(corpus / name) for name in names]
    return stamps[0] if len(stamps) == 1 else int(digest(stamps), 16) | 1


def _consecutive(recordings: list[list[str]]) -> Iterator[tuple[list[str], range]]:
    """Each recording with the rows that its clips are in, which stand one after the other."""
    start = 0
    for names, group in itertools.groupby(recordings):
        rows = range(start, start + len(list(group)))
        yield names, rows
        start = rows.stop


def _create(path: Path, dtype: type, shape: tuple[int, ...]) -> None:
    """An array of zeros in a file whose room on the disk is taken: writing to memory that is mapped to a file for which
    the disk has no room would kill the process."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    with replacing(path) as temporary:
        free = shutil.disk_usage(path.parent).free
        if size > free:
            raise UserError(f"{path}: {size / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB free; make room")
        open_memmap(temporary, mode="w+", dtype=dtype, shape=shape).flush()
        if hasattr(os, "posix_fallocate"):  # not on macOS
            with open(temporary, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)


@contextlib.contextmanager
def _extracting(
    workers: int, array_path: Path, config: FeatureConfig, length: int
) -> Iterator[Callable[[list[Job]], Iterable[range]]]:
    """What extracts jobs, in so many processes; a single one is this process, with one thread as theirs have."""
    if workers == 1:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield partial(map, _Extractor(array_path, config, length))
        finally:
            torch.set_num_threads(threads)
        return
    initial = (array_path, config, length)
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_start_worker, initargs=initial
    ) as pool:
        try:
            yield partial(pool.map, _work, chunksize=4)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


class _Extractor:
    """Writes the clips of a recording into the array: the windows, one after the other, of the sound of its files."""

    def __init__(self, array_path: Path, config: FeatureConfig, length: int) -> None:
        self.array, self.log_mel, self.length = open_memmap(array_path, mode="r+"), LogMel(config), length

    def __call__(self, job: Job) -> range:
        rows, paths = job
        rate = self.log_mel.config.sample_rate
        windows = cut_windows(
            itertools.chain.from_iterable(read_blocks(Path(path), rate) for path in paths), self.length
        )
        for row in rows:
            window = next(windows, None)
            if window is None:
                raise UserError(f"{paths[-1]}: has become shorter since it was validated; run it again")
            self.array[row] = self.log_mel(window)
        for _ in windows:  # something may be wrong with the rest
            pass
        return rows


_extractor: _Extractor  # of a worker process


def _start_worker(array_path: Path, config: FeatureConfig, length: int) -> None:
    global _extractor
    torch.set_num_threads(1)  # the processes are the parallelism
    _extractor = _Extractor(array_path, config, length)


def _work(job: Job) -> range:
    return _extractor(job)

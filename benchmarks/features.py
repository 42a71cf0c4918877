"""Feature extraction: clips a second on a core against librosa, what a second worker adds, and memory.

    python benchmarks/features.py CORPUS [--pairs 100] [--clips 10000]

CORPUS is a folder in the layout of the challenge. The comparison with librosa is in processor time, file by file in
turns, so other load on the machine weighs on both alike, and on one thread each, as in the workers of an extraction;
OPENBLAS_NUM_THREADS=8 shows what librosa costs with the threads that it would take by itself on 8 cores. The workers
are compared by the clock: let the machine be idle. Nothing is asserted; goals are printed beside what was measured.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # this clone, whatever is installed
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import numpy as np  # noqa: E402

from asc_core.config import FeatureConfig  # noqa: E402
from asc_core.corpus.audio import read_header, read_samples  # noqa: E402
from asc_core.corpus.layout import read_corpus  # noqa: E402

CONFIG = FeatureConfig()  # 256 bands at 16 kHz, 130 ms windows every 30 ms


def against_librosa(paths: list[Path]) -> None:
    """Processor time of ours and of librosa for each file, in turns."""
    import librosa
    import torch

    from asc_core.features import LogMel

    torch.set_num_threads(1)
    log_mel = LogMel(CONFIG)
    energies = {"n_fft": CONFIG.n_fft, "hop_length": CONFIG.hop_length, "n_mels": CONFIG.n_mels}

    def ours(path: Path) -> np.ndarray:
        return log_mel(read_samples(path, CONFIG.sample_rate))

    def theirs(path: Path) -> np.ndarray:
        samples, rate = librosa.load(path, sr=CONFIG.sample_rate)
        return np.log(np.maximum(librosa.feature.melspectrogram(y=samples, sr=rate, **energies), 1e-10))

    seconds: dict[str, list[float]] = {"ours": [], "librosa": []}
    difference = 0.0
    for path in [paths[0], *paths]:  # imports and tables are no part of it: the first time is left out below
        made = []
        for name, way in (("ours", ours), ("librosa", theirs)):
            start = time.process_time()
            made.append(way(path))
            seconds[name].append(time.process_time() - start)
        result, expected = made
        audible = expected > max(np.log(1e-10), expected.max() - 18)
        difference = max(difference, float(np.abs(result - expected)[audible].max()))
    times = {name: np.array(values[1:]) for name, values in seconds.items()}
    for name, values in times.items():
        print(f"{name}: {1000 * np.median(values):.2f} ms of processor time a clip, median of {len(values)}")
    low, median, high = np.quantile(times["librosa"] / times["ours"], [0.25, 0.5, 0.75])
    print(f"ours is {median:.1f} times as fast as librosa (quartiles {low:.1f} to {high:.1f}; goal: 4)")
    print(f"largest difference of a log energy from librosa: {difference:.1e} (goal: 1e-3)")


def extraction(corpus: Path, clips: int, workers: int) -> float:
    """Extract so many clips (the corpus as often as needed) in a process of its own; return clips a second."""
    command = [sys.executable, __file__, str(corpus), "--clips", str(clips), "--workers", str(workers)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    seconds, parent, worker, parent_seconds, worker_seconds = (float(word) for word in done.stdout.split())
    print(
        f"{workers} worker{'s' * (workers > 1)}: {clips} clips in {seconds:.1f} s, {clips / seconds:.0f} clips/s; "
        f"processor time {worker_seconds:.1f} s, of the parent {parent_seconds:.1f} s; "
        f"peak memory of the parent {parent:.0f} MB (goal: 500), of the largest worker {worker:.0f} MB"
    )
    return clips / seconds


def extract_once(corpus: Path, clips: int, workers: int) -> None:
    """What `extraction` starts: prints seconds, peak memory in MB of this process and of its largest child, and their
    processor seconds."""
    import resource

    from asc_core.features import extract

    table = read_corpus(corpus)
    table = table.iloc[np.arange(clips) % len(table)].reset_index(drop=True)
    table = table.assign(seconds=read_header(corpus / table["filename"][0]).seconds)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        start, own_seconds = time.monotonic(), time.process_time()
        extract(corpus, table, CONFIG, Path(folder) / "features", Path(folder) / "work", workers)
        seconds, own_seconds = time.monotonic() - start, time.process_time() - own_seconds
    own = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    memory = (int(own.split()[1]) / 1024, children.ru_maxrss / 1024)
    print(seconds, *memory, own_seconds, children.ru_utime + children.ru_stime)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--pairs", type=int, default=100, help="files to compare with librosa")
    parser.add_argument("--clips", type=int, default=10000, help="clips to extract with one worker and with two")
    parser.add_argument("--workers", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.workers:
        extract_once(arguments.corpus, arguments.clips, arguments.workers)
        return
    names = read_corpus(arguments.corpus)["filename"]
    chosen = names.iloc[np.linspace(0, len(names) - 1, min(arguments.pairs, len(names))).astype(int)]
    paths = [arguments.corpus / name for name in chosen]
    rates = sorted({read_header(path).sample_rate for path in paths})
    print(f"{len(paths)} files of {arguments.corpus}, {', '.join(map(str, rates))} Hz")
    if arguments.pairs:
        against_librosa(paths)
    load = os.getloadavg()[0]
    extraction(arguments.corpus, 50, 1)  # the files are in memory from here on
    one, two = (extraction(arguments.corpus, arguments.clips, workers) for workers in (1, 2))
    print(f"two workers are {two / one:.2f} times as fast as one (goal: 1.7; load of the machine before: {load:.1f})")


if __name__ == "__main__":
    main()

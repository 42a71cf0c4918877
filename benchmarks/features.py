"""Feature extraction: clips a second on a core against librosa, what a second worker adds, and memory.

    python benchmarks/features.py CORPUS [--pairs 100] [--clips 10000]

CORPUS is a folder in the layout of the challenge. The comparison with librosa is in processor time, as a core is what
an extraction has, in turns of ten files, so that other load on the machine weighs on both alike. It is made twice: with
librosa as it comes, on as many threads as the machine has cores, and with librosa held to one thread as ours is in the
workers of an extraction. The workers are compared by the clock: let the machine be idle. Nothing is asserted; goals are
printed beside what was measured.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # this clone, whatever is installed

import numpy as np  # noqa: E402

from asc_core.corpus.layout import read_corpus  # noqa: E402
from asc_core.features.audio import read_header, read_samples, sample_problem  # noqa: E402
from asc_core.features.config import FeatureConfig  # noqa: E402

THREADS = tuple(f"{library}_NUM_THREADS" for library in ("OMP", "OPENBLAS", "MKL"))
TURN = 10  # files that one of the two takes before the other does: alone, each would find its memory as it left it
CONFIG = FeatureConfig()  # 256 bands at 16 kHz, 130 ms windows every 30 ms


def ours(paths: list[str]) -> tuple[float, list[np.ndarray]]:
    """Processor time a file, and the log energies."""
    import torch

    from asc_core.features.log_mel import LogMel

    torch.set_num_threads(1)
    log_mel = LogMel(CONFIG)
    return timed(lambda path: log_mel(read_samples(Path(path), CONFIG.sample_rate)), paths)


def librosas(paths: list[str]) -> tuple[float, list[np.ndarray]]:
    """The same of librosa."""
    import librosa

    def way(path: str) -> np.ndarray:
        samples, rate = librosa.load(path, sr=CONFIG.sample_rate)
        return librosa.feature.melspectrogram(
            y=samples, sr=rate, n_fft=CONFIG.fft_length, hop_length=CONFIG.hop_length, n_mels=CONFIG.n_mels
        )

    seconds, energies = timed(way, paths)
    return seconds, [np.log(np.maximum(each, 1e-10)) for each in energies]


def timed(way: Callable[[str], np.ndarray], paths: list[str]) -> tuple[float, list[np.ndarray]]:
    start = time.process_time()
    made = [way(path) for path in paths]
    return (time.process_time() - start) / len(paths), made


def against_librosa(paths: list[Path], threads: str | None) -> None:
    """Both in turns, each in a process of its own: threads that wait for work take time from whoever is beside them."""
    for name in THREADS:
        os.environ.pop(name, None)
        if threads:
            os.environ[name] = threads
    turns = [[str(path) for path in paths[at : at + TURN]] for at in range(0, len(paths), TURN)]
    spawn = get_context("spawn")
    times, difference = [], 0.0
    with ProcessPoolExecutor(1, spawn) as here, ProcessPoolExecutor(1, spawn) as there:
        for number, turn in enumerate([turns[0], *turns]):
            (own, made), (other, expected) = here.submit(ours, turn).result(), there.submit(librosas, turn).result()
            for result, known in zip(made, expected, strict=True):
                audible = known > max(np.log(1e-10), known.max() - 18)
                difference = max(difference, float(np.abs(result - known)[audible].max()))
            if number:  # imports and tables are no part of it
                times.append((own, other))
    own, other = 1000 * np.median(times, axis=0)
    low, median, high = np.quantile([other / own for own, other in times], [0.25, 0.5, 0.75])
    name = f"librosa {'on one thread' if threads else 'as it comes'}"
    print(f"{name}: {other:.2f} ms of processor time a clip, ours {own:.2f}")
    print(f"ours is {median:.1f} times as fast (quartiles {low:.1f} to {high:.1f}; goal: 4)")
    print(f"largest difference of a log energy: {difference:.1e} (goal: 1e-3)")


def validation(paths: list[Path]) -> None:
    """What the stage validate does to each file. They are in memory, and most of the time goes to Python."""
    start = time.process_time()
    for path in paths:
        read_header(path)
        sample_problem(path)
    milliseconds = 1000 * (time.process_time() - start) / len(paths)
    print(f"validation: {milliseconds:.2f} ms of processor time a file (goal: 0.2 for WAV files of integers)")


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

    from asc_core.features.extraction import extract

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
        for threads in (None, "1"):
            against_librosa(paths, threads)
        validation(paths)
    os.environ |= dict.fromkeys(THREADS, "1")
    load = os.getloadavg()[0]
    extraction(arguments.corpus, 50, 1)  # the files are in memory from here on
    one, two = (extraction(arguments.corpus, arguments.clips, workers) for workers in (1, 2))
    print(f"two workers are {two / one:.2f} times as fast as one (goal: 1.7; load of the machine before: {load:.1f})")


if __name__ == "__main__":
    main()

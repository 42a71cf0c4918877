"""The clips that the shipped networks got most wrong, to be seen and, where that is allowed, heard."""

import io
from pathlib import Path

import numpy as np

from asc_core.errors import UserError
from asc_core.evaluation.metrics import log_losses
from asc_core.features.audio import read_samples
from asc_core.features.store import FeatureStore
from asc_core.page.parts import Clip, Clips, Part, Section, Text
from asc_core.page.render import data_address
from pipeline.page.run import Run
from pipeline.paths import FEATURES, corpus_root

EXCERPT_SECONDS = 5.0
EXCERPT_RATE = 16_000  # Hz


def worst(run: Run) -> Section | None:
    """The clips whose right answer the networks gave the least probability, in the mean of the log loss over seeds."""
    count = run.params.report.worst_clips
    table, scenes = run.predictions, run.scenes
    probabilities = table[scenes].to_numpy(dtype=np.float64)
    labels = table["scene"].map({scene: index for index, scene in enumerate(scenes)}).to_numpy()
    losses = table.assign(loss=log_losses(probabilities, labels)).groupby("filename")["loss"].mean()
    mean = table.groupby("filename")[scenes].mean()
    facts = table.drop_duplicates("filename").set_index("filename")
    wrong = losses[mean.idxmax(axis=1) != facts["scene"].reindex(losses.index)]
    ranked = sorted(wrong.index.tolist(), key=lambda name: (-wrong[name], name))[:count]
    store, root = FeatureStore(FEATURES), corpus_root()
    positions = {name: index for index, name in enumerate(store.clips["filename"])}
    clips = []
    for name in ranked:
        percents, scene = 100 * mean.loc[name], facts.loc[name, "scene"]
        answer = percents.idxmax()
        told = (
            f"device {facts.loc[name, 'device']}, taken for {answer} ({percents[answer]:.0f} %); "
            f"{scene} was given {percents[scene]:.0f} %. {name}"
        )
        energies = np.asarray(store.array[positions[name]], dtype=np.float32)  # (mel, frame)
        sound = excerpt(root / name) if run.params.report.audio else None
        clips.append(Clip(str(scene), told, data_address(spectrogram(energies), "image/png"), sound))
    if not clips:
        return None
    heard = f"with up to {EXCERPT_SECONDS:g} s of their sound" if run.params.report.audio else "without their sound"
    text = f"Clips whose right answer got the least probability, means of all seeds, {heard}; low bands are below."
    parts: list[Part] = [Text(text), Clips(clips)]
    return Section("clips", "Most wrong", parts)


def spectrogram(energies: np.ndarray) -> bytes:
    """Log-mel energies (mel, frame) as a PNG file, a dot each."""
    from matplotlib.image import imsave

    content = io.BytesIO()
    low, high = np.percentile(energies, [1, 99.5])
    imsave(content, energies, cmap="magma", vmin=low, vmax=max(high, low + 1e-3), origin="lower", format="png")
    return content.getvalue()


def excerpt(path: Path) -> str | None:
    """The beginning of a sound file as an MP3, a data address; None where it cannot be read or written any more."""
    import soundfile

    content = io.BytesIO()
    try:
        samples = read_samples(path, EXCERPT_RATE)[: round(EXCERPT_SECONDS * EXCERPT_RATE)]
        loudest = max(float(np.abs(samples).max()), 1e-9)
        soundfile.write(content, 0.7 * samples / loudest, EXCERPT_RATE, format="MP3", subtype="MPEG_LAYER_III")
    except (UserError, soundfile.LibsndfileError):
        return None
    return data_address(content.getvalue(), "audio/mpeg")

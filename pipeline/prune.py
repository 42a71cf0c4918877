"""Stage prune: most convolution weights to zero in one shot, then training goes on with the others."""

from asc_core.compression import prune as pruning
from asc_core.models import checkpoint
from asc_core.store import FeatureStore
from pipeline.fitting import save, train
from pipeline.params import Params
from pipeline.paths import FEATURES, model_path
from pipeline.stage import run
from pipeline.tracking import Journal


def prune(params: Params, journal: Journal, seed: int) -> None:
    """Prune the student of a seed and tune what is left."""
    store, stage = FeatureStore(FEATURES), params.prune
    network, _ = checkpoint.load(model_path(seed, "student"))
    kept = pruning.prune(network, stage.ratio)
    print(f"prune@{seed}: {kept} convolution weights kept of {sum(w.numel() for w in pruning.conv_weights(network))}")
    train(
        "prune", network, store, params, journal, seed, stage.schedule,
        masks=params.student.spec_augment, frozen_zeros=True,
        teacher=model_path(seed, "teacher") if stage.distil else None,
    )  # fmt: skip
    save(network, params.student.network, store, model_path(seed, "pruned"), journal)


if __name__ == "__main__":
    run(prune, trains=True)

"""Stage compress of the tables: the large network pruned and quantised, with or without distillation from itself."""

from asc_core.compression import prune as pruning
from asc_core.compression import quantize as quantization
from asc_core.compression.size import totals
from asc_core.evaluation import score
from asc_core.files import write_json
from asc_core.models import checkpoint
from asc_core.store import FeatureStore
from pipeline.fitting import train as fit
from pipeline.paper import systems
from pipeline.paper.paths import EXPERIMENT, measured, trained
from pipeline.params import Params
from pipeline.paths import FEATURES
from pipeline.stage import run
from pipeline.tracking import Journal


def compress(params: Params, journal: Journal, variant: str, seed: int) -> None:
    """Prune, tune, quantise, tune and measure."""
    paper, store, path = systems.load(), FeatureStore(FEATURES), trained(systems.VANILLA, seed)
    journal.tags({"table": "compression", "row": variant})
    network, _ = checkpoint.load(path)
    teacher = path if variant == "with_distillation" else None
    label = f"paper {variant}"
    pruning.prune(network, paper.prune.ratio)
    fit(
        f"{label} prune", network, store, params, journal, seed, paper.prune.schedule,
        masks=False, teacher=teacher, frozen_zeros=True, last=False,
    )  # fmt: skip
    quantization.start_quantized_training(network)
    fit(
        f"{label} quantize", network, store, params, journal, seed, paper.quantize.schedule,
        masks=False, teacher=teacher, frozen_zeros=True,
    )  # fmt: skip
    quantization.quantize(network)
    results = {**score(network, store)[1], "size": totals(network)}
    print(f"{variant}@{seed}: {results['accuracy']:.1f} %")
    journal.metrics(results)
    write_json(measured(variant, seed), results)


if __name__ == "__main__":
    run(compress, experiment=EXPERIMENT, trains=True)

"""The temperature of the shipped network: as params.yaml has it, or fitted on what is held back from training."""

import json
from pathlib import Path

import numpy as np
import pytest
from workspace import TINY

from asc_core.compression import package
from asc_core.errors import UserError
from asc_core.evaluation.metrics import score
from asc_core.features.store import FeatureStore
from asc_core.models import checkpoint
from asc_core.training.loop import untrained
from pipeline import params
from pipeline.configure import configure
from pipeline.paths import FEATURES, model_path, package_path, teacher_path
from pipeline.reporting.card import _calibration
from pipeline.runtime.journal import Journal
from pipeline.stages.evaluate import evaluate
from pipeline.stages.quantize import fitted_temperature, quantize
from pipeline.stages.tune_devices import tune_devices

HELD_BACK = "data.validation={locations: 0.3, devices: 1, seed: 0}"


def settings(*overrides: str) -> params.Params:
    configure("quick", [*TINY, *overrides], Path("params.yaml"))
    return params.load()


@pytest.mark.parametrize("value", ["0", "0.01", "21", "-1", "true", "null", "fitted", "[1]", ".nan"])
def test_a_temperature_that_cannot_be_is_told(value, here):
    with pytest.raises(UserError, match=r"^[^\n]*quantize\.temperature: [^\n;]*$"):
        settings(f"quantize.temperature={value}")


def test_without_a_validation_split_there_is_nothing_to_fit_on(here, store):
    with pytest.raises(UserError, match=r"quantize\.temperature: fit needs .* data\.validation is null$"):
        settings("quantize.temperature=fit")
    assert settings("quantize.temperature=fit", HELD_BACK).quantize.temperature == "fit"
    with pytest.raises(UserError, match=r"^quantize\.temperature: fit needs .* data\.validation holds nothing back$"):
        fitted_temperature(None, store)


def test_the_temperature_is_that_of_the_package_and_of_what_is_reported(here, store, write_store):
    clips = store.clips
    held_back = clips.assign(
        split=np.where(clips["location"] == "city-0", "validation", clips["split"]), sample_rate=44_100
    )
    write_store(FEATURES, held_back, np.array(store.array))
    held, found = FeatureStore(FEATURES), settings(HELD_BACK)
    for path, config in [
        (teacher_path(0, "asc"), found.teachers["asc"].network),
        *((model_path(0, name), found.student.network) for name in ("student", "pruned")),
    ]:
        path.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.save(path, untrained(config, held, 0), config, held.scenes, features=held.description)
    losses, labels = {}, {}
    for wanted in ("1.0", "0.2", "fit"):
        found = settings(HELD_BACK, f"quantize.temperature={wanted}")
        quantize(found, Journal("quantize@0", 0, found.model_dump(mode="json")), 0)
        network, description = package.read(package_path(0))
        logits, metrics = score(network, held, "validation")
        losses[wanted], labels[wanted] = metrics["log_loss"], logits.argmax(dim=1).tolist()
        assert ("temperature" in description) == (wanted != "1.0")
    assert losses["fit"] < min(losses["1.0"], losses["0.2"])
    assert labels["fit"] == labels["1.0"] == labels["0.2"]
    tune_devices(found, Journal("tune_devices@0", 0, found.model_dump(mode="json")), 0)
    evaluate(found, Journal("evaluate@0", 0, found.model_dump(mode="json")), 0)
    results = json.loads(Path("reports/seeds/0.json").read_text())
    assert results["quantized"]["temperature"] == description["temperature"] and "temperature" not in results["pruned"]
    assert f"a temperature of {description['temperature']:g}" in _calibration(description)
    assert "not calibrated" in _calibration({})

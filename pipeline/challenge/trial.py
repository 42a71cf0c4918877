"""What an inference package answers where it is installed. Run as a script, by the Python of that environment:

    python -I trial.py LABEL REQUEST.json ANSWER.json

REQUEST.json has `files` and their `devices`, and `every_device` that is to be tried. ANSWER.json gets `logits` of the
files, `labels`, `devices` (for each the `shape` of the input and the `bytes` of the parameters that can be seen), and
`modules` that were imported.
"""

import importlib
import json
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any


def answer(label: str, request: dict[str, Any]) -> dict[str, Any]:
    package = label.rpartition("_")[0]
    api = importlib.import_module(f"{package}.{label}")
    dummy = str(files(f"{package}.resources") / "dummy.wav")
    every = request["every_device"]
    model = api.load_model()
    inputs = api.load_inputs([dummy] * len(every), every, model)
    devices = {}
    for device, features in zip(every, inputs, strict=True):
        parameters = list(api.get_model_for_device(model, device).parameters())
        size = sum(parameter.numel() * parameter.element_size() for parameter in parameters)
        devices[device] = {"shape": list(features.shape), "bytes": size}
    api.predict([dummy] * len(every), every, use_cuda=False)
    logits, labels = api.predict(request["files"], request["devices"], use_cuda=False)
    return {
        "logits": [row.tolist() for row in logits],
        "labels": labels,
        "devices": devices,
        "modules": sorted(sys.modules),
    }


if __name__ == "__main__":
    name, asked, answered = sys.argv[1:]
    Path(answered).write_text(json.dumps(answer(name, json.loads(Path(asked).read_text()))))

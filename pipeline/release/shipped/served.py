"""The model as MLflow serves it: samples and their rate in, the scene and its probability out.

MLflow copies this file beside the package and a copy of asc_core ("model from code": nothing is pickled), so it stands
for itself: it imports nothing of the pipeline. A request has a row for each clip, mono and of any length and rate
(lengths are dealt with as `asc_core.features.frontend` says):

    {"dataframe_records": [{"samples": [0.0, 0.01, -0.02, ...], "sample_rate": 44100}]}

and is answered, in the same order, with

    {"predictions": [{"label": "tram", "probabilities": {"airport": 0.01, ..., "tram": 0.9}}]}
"""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class SceneClassifier(PythonModel):
    """The network of a package behind the features that it was trained on."""

    def load_context(self, context: Any) -> None:
        """Read the package."""
        from asc_core.deploy.predictor import Engine, Predictor

        self.predictor = Predictor(Path(context.artifacts["package"]), Engine.torch)

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Label and probabilities of every row of a table with the columns `samples` and `sample_rate`.

        Raises:
            MlflowException: a clip cannot be used; the server answers 400, and the text names the row.
        """
        from asc_core.errors import UserError

        answers = []
        for row, (samples, rate) in enumerate(zip(model_input["samples"], model_input["sample_rate"], strict=True)):
            try:
                probabilities = self.classify(samples, int(rate))
            except UserError as error:
                raise MlflowException.invalid_parameter_value(f"row {row}: {error}") from None
            answers.append({"label": max(probabilities, key=probabilities.__getitem__), "probabilities": probabilities})
        return answers

    def classify(self, samples: Any, rate: int) -> dict[str, float]:
        """Probabilities by class of one clip."""
        import numpy as np

        from asc_core.features.audio import to_mono

        frontend = self.predictor.frontend
        windows = frontend(to_mono(np.asarray(samples), rate, frontend.config.sample_rate))
        return dict(zip(self.predictor.labels, self.predictor.probabilities(windows).tolist(), strict=True))


set_model(SceneClassifier())

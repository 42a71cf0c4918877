"""The model as MLflow serves it: samples and their rate in, the scene and its probability out.

MLflow copies this file beside the package and a copy of asc_core ("model from code": nothing is pickled), so it stands
for itself: it imports nothing of the pipeline. A request has a row for each clip, mono and of any rate (lengths are
dealt with as `asc_core.features.frontend` says); full scale is 1, whole numbers are samples too:

    {"dataframe_records": [{"samples": [0.0, 0.01, -0.02, ...], "sample_rate": 44100}]}

and is answered, in the same order, with

    {"predictions": [{"label": "tram", "probabilities": {"airport": 0.01, ..., "tram": 0.9}}]}

A clip may last ten minutes, and a request may have 64 MiB: a minute of 48 kHz in JSON, or six clips of ten seconds.
What is larger or cannot be used is answered with 400 and a text that says why.
"""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

LONGEST = 600  # seconds of a clip
MOST = 64 << 20  # bytes of a request; as Python's numbers they take several times as much


class SceneClassifier(PythonModel):
    """The network of a package behind the features that it was trained on."""

    def load_context(self, context: Any) -> None:
        """Read the package."""
        from asc_core.deploy.predictor import Engine, Predictor

        server: Any = sys.modules.get("mlflow.pyfunc.scoring_server")
        if server and not hasattr(server.invocations, "bounded"):
            server.invocations = bounded(server.invocations)

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
            label = max(probabilities, key=lambda name: probabilities[name])
            answers.append({"label": label, "probabilities": probabilities})
        return answers

    def classify(self, samples: Any, rate: int) -> dict[str, float]:
        """Probabilities by class of one clip.

        Raises:
            UserError: it cannot be used.
        """
        import numpy as np

        from asc_core.errors import UserError
        from asc_core.features.audio import to_mono

        try:
            sound = np.asarray(samples)
        except ValueError:  # lists of different lengths
            sound = np.empty(0, object)
        if sound.ndim != 1 or sound.dtype.kind not in "iuf":
            raise UserError("its samples are not a list of numbers")
        if len(sound) > LONGEST * rate > 0:
            raise UserError(f"lasts {len(sound) / rate:.0f} s, and {LONGEST} is the most")
        frontend = self.predictor.frontend
        windows = frontend(to_mono(sound, rate, frontend.config.sample_rate))
        return dict(zip(self.predictor.labels, self.predictor.probabilities(windows).tolist(), strict=True))


def bounded(invocations: Callable[..., Any]) -> Callable[..., Any]:
    """MLflow's function for a request, with two bounds that it lacks: on the size of one, and on its depth.

    There is no other door to it: whatever the reading of a request raises would be answered with 500.
    """

    @functools.wraps(invocations)
    def answer(data: bytes, content_type: str | None, *more: Any) -> Any:
        if len(data) > MOST:
            raise MlflowException.invalid_parameter_value(f"a request of {len(data)} bytes, and {MOST} is the most")
        try:
            return invocations(data, content_type or "", *more)
        except MlflowException:
            raise
        except Exception as error:
            reason = "nested too deeply" if isinstance(error, RecursionError) else f"{type(error).__name__}: {error}"
            raise MlflowException.invalid_parameter_value(f"the request cannot be read ({reason})") from None

    answer.bounded = True  # type: ignore[attr-defined]
    return answer


set_model(SceneClassifier())

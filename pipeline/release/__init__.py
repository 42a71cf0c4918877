"""From a run that passed the gate to a served model: MLflow, the registry, measuring a package."""

"""One trial: it trains what the searched keys concern and reports each epoch of the judged stage to the study, which
may end it early.

Interrupted, it leaves its parameters to be tried again; the training then goes on where it was. The test split is never
read.
"""

from typing import TYPE_CHECKING, Any

from torch import nn

from asc_core import UserError
from asc_core.evaluation.metrics import score
from asc_core.features.store import FeatureStore
from asc_core.models import checkpoint, ensemble
from asc_core.text import printable
from asc_core.training import loop
from asc_core.training.job import Job
from pipeline.params import Params
from pipeline.paths import FEATURES, made, model_path, teacher_paths
from pipeline.runtime.journal import Journal
from pipeline.runtime.training import Fit, state_path
from pipeline.stages import prune, quantize, train_student, train_teacher
from pipeline.sweep.space import Search
from pipeline.sweep.study import Study

if TYPE_CHECKING:
    from optuna import Trial

PATIENCE = 4  # a trial is not ended in the first of so many parts of its epochs, whose order says little


class EndedEarly(Exception):
    """A trial is worse than the median of the others at the same epoch."""


def judged(search: Search, settings: Params, store: FeatureStore, fit: Fit) -> nn.Module:
    """The network of the judged stage: trained, or tuned from what the stages before it left in the workspace."""
    seed, left = search.space.seed, ("student", "pruned")[: max(0, len(search.before) - 1)]
    teacher = network = ensemble.load(teacher_paths(seed, settings.teachers)) if search.before else nn.Module()
    if left:
        network, _ = checkpoint.load(model_path(seed, left[-1]))
    for stage in search.trained:
        if stage == "train_teacher":
            network = teacher = train_teacher.trained(settings, store, seed, fit)
        elif stage == "train_student":
            network = train_student.trained(settings, store, seed, teacher, fit)
        elif stage == "prune":
            prune.tune_pruned(network, settings, store, seed, teacher, fit)
        else:
            quantize.tune_quantized(network, settings, store, seed, teacher, fit)
    return network


def value(search: Search, settings: Params, store: FeatureStore, trial: "Trial", journal: Journal) -> float:
    """Train the network of a trial; what it is worth on the validation split.

    Raises:
        EndedEarly: the study has ended it.
        UserError: it cannot be trained with these parameters.
    """
    metric = search.space.metric
    # Several teachers are judged by what they say together, which no curve of one of them foretells.
    judged_stage = None if search.space.stage == "train_teacher" and len(settings.teachers) > 1 else search.space.stage

    def fit(stage: str, network: nn.Module, store: FeatureStore, job: Job) -> None:
        last, epochs, saved = stage == judged_stage, job.schedule.epochs, state_path(stage, network, store, job)

        def on_epoch(epoch: int, metrics: dict[str, float]) -> None:
            journal.metrics(metrics if last else {stage: metrics}, step=epoch)
            journal.send()
            if last:
                trial.report(metrics[metric], epoch)
                if epochs // PATIENCE < epoch < epochs and trial.should_prune():
                    raise EndedEarly(f"ended after epoch {epoch} of {epochs}")

        label = f"trial {trial.number}: {stage}"
        try:
            loop.fit(network, store, job, label=label, saved=saved, on_epoch=on_epoch)
        except (EndedEarly, UserError):  # it is not tried again
            saved.unlink(missing_ok=True)
            raise

    _, metrics = score(judged(search, settings, store, fit), store, "validation")
    return float(metrics[metric.removeprefix("validation_")])


def run_trial(search: Search, study: Study, number: int) -> None:
    """Run a trial that was asked for, and tell the study and MLflow what came of it.

    Raises:
        UserError: the fault is not the trial's.
    """
    from optuna.trial import Trial, TrialState

    frozen = study.trials[number]
    if frozen.state != TrialState.RUNNING:
        raise UserError(f"trial {number} is {study.state(number)} already; another process runs its parameters")
    trial, values, store = Trial(study.study, frozen._trial_id), study.values(frozen), FeatureStore(made(FEATURES))
    journal = Journal(f"trial-{number}", None, search.settings({}).model_dump(mode="json"), own=values)
    journal.tags({"sweep": search.space.name})
    try:
        result = value(search, search.settings(values), store, trial, journal)
    except KeyboardInterrupt:
        journal.end("KILLED", "interrupted; its parameters are tried again")
        raise
    except (EndedEarly, UserError) as error:
        if isinstance(error.__context__, OSError):  # a full disk says nothing about the parameters
            journal.end("FAILED", str(error))
            raise
        trial.set_user_attr("reason", str(error))
        study.study.tell(number, state=TrialState.PRUNED)
        told: dict[str, Any] = {"outcome": "ended early", "reason": str(error)}
    except BaseException as error:
        journal.end("FAILED", f"{type(error).__name__}: {error}")
        study.study.tell(number, state=TrialState.FAIL)
        raise
    else:
        study.study.tell(number, result)
        journal.metrics({"value": result})
        told = {"outcome": "complete", "reason": f"{search.space.metric} {result:.6g}"}
    journal.tags({"outcome": told["outcome"]})
    journal.end("FINISHED", told["reason"])
    print(printable(f"trial {number}: {told['outcome']}: {told['reason']}"), flush=True)

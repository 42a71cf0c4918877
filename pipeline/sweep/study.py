"""The study of a sweep, as Optuna keeps it: in a file of the project, or in a database that several machines share.

What has happened is in the study alone, so whoever is killed at whatever moment, the next one goes on from there: a
trial that nobody runs any more fails, and its parameters wait to be tried again.
"""

import json
import os
import random
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asc_core import UserError
from asc_core.addresses import without_credentials
from asc_core.errors import reason
from asc_core.files import digest
from pipeline.runtime.journal import features_hash
from pipeline.sweep.space import Interval, Search

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

FOLDER = Path(".state/sweeps")
HEARTBEAT, GRACE = 10, 90  # seconds between two signs of life of a trial, and without one until it counts as dead
STARTUP = 5  # trials before one is ended early


class Study:
    """The trials of a search.

    Raises:
        UserError: the study is another search's, or its store cannot be used.
    """

    def __init__(self, search: Search) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", "Heartbeat of storage")  # `running` gives it where Optuna would
        space, self.search = search.space, search
        self.distributions = {key: _distribution(tried) for key, tried in search.tried.items()}
        self._states, self._asking = optuna.trial.TrialState, threading.Lock()
        self._retry = optuna.storages.RetryHeartbeatStaleTrialCallback(inherit_intermediate_values=True)
        with _telling():
            self._storage = self._open()
            self.study = optuna.create_study(
                storage=self._storage,
                pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP),
                study_name=space.name,
                direction=space.direction,
                load_if_exists=True,
            )
            begun = len(self.study.trials)
            # Whoever goes on draws on: the same numbers once more would be the same trials.
            self.study.sampler = optuna.samplers.TPESampler(seed=(space.seed + begun) % 2**32)
            self._check_basis()

    def _open(self) -> Any:
        from optuna.storages import RDBStorage

        url, arguments = os.environ.get("ASC_SWEEP_STORAGE"), {}
        if not url:
            FOLDER.mkdir(parents=True, exist_ok=True)
            url = f"sqlite:///{FOLDER / self.search.space.name}.db"
            arguments = {"connect_args": {"timeout": 100}}  # seconds that one process waits while others write
        return RDBStorage(
            url,
            arguments,
            heartbeat_interval=HEARTBEAT,
            grace_period=GRACE,
            heartbeat_stale_trial_callback=self._retry,
        )

    def _check_basis(self) -> None:
        """Hold the study to what its first trial was of: figures of something else are no figures of this."""
        search, name = self.search, self.search.space.name
        others = dict.fromkeys(search.tried)
        basis = digest(
            {key: str(each) for key, each in self.distributions.items()},
            [search.space.stage, search.space.metric, search.space.seed, search.trained],
            {section: search.changed(others)[section] for section in search.sections},
            features_hash(),
        )
        if self.study.user_attrs.setdefault("basis", basis) != basis:
            raise UserError(
                f"{name}: its trials so far are of another space, of other parameters or features; "
                f"give the sweep another name, or remove {shown_address(name)}"
            )
        self.study.set_user_attr("basis", basis)

    @property
    def trials(self) -> "list[FrozenTrial]":
        """All trials, whatever became of them."""
        return self.study.get_trials(deepcopy=False)

    @property
    def finished(self) -> int:
        """How many trials have come to their end, be it an early one."""
        return sum(trial.state in (self._states.COMPLETE, self._states.PRUNED) for trial in self.trials)

    def release(self) -> None:
        """Have the trials tried again that this workspace has begun, as none is being run in it any more."""
        with _telling():
            for trial in self.study.get_trials(states=(self._states.RUNNING,)):
                # Whoever was killed right after it had asked has not said who it was.
                age = (datetime.now() - (trial.datetime_start or datetime.min)).total_seconds()
                if trial.user_attrs.get("workspace", age > GRACE) in (_workspace(), True):
                    self.study.tell(trial.number, state=self._states.FAIL)
                    self._retry(self.study, trial)

    def ask(self) -> int | None:
        """The number of the trial to run next; None where as many as are wanted are finished or being run."""
        from optuna.storages import fail_stale_trials

        with self._asking, _telling():
            fail_stale_trials(self.study)
            while self._wanted():
                trial = self.study.ask(self.distributions)
                before = [each for each in self._alive() if each.number < trial.number]
                repeated = any(each.params == trial.params for each in before)
                # Of several who ask at once, the ones with the highest numbers were too many or too late.
                if not repeated and len(before) < self.search.space.trials:
                    trial.set_user_attr("workspace", _workspace())
                    self._beat(trial.number)
                    return trial.number
                trial.set_user_attr("reason", "repeats another" if repeated else "one more than wanted")
                self.study.tell(trial, state=self._states.FAIL)
                if repeated:
                    self.study.enqueue_trial(self._untried(trial.number))
        return None

    def _wanted(self) -> bool:
        alive = self._alive()
        waiting = any(trial.state == self._states.WAITING for trial in alive)
        return waiting or len(alive) < self.search.space.trials

    def _alive(self) -> "list[FrozenTrial]":
        return [trial for trial in self.trials if trial.state != self._states.FAIL]

    def _untried(self, number: int) -> dict[str, Any]:
        """Parameters that no trial has; `load` has seen to it that there are enough."""
        from optuna.samplers import RandomSampler

        known, draw = [trial.params for trial in self._alive()], random.Random(self.search.space.seed + number)
        sampler, like = RandomSampler(seed=draw.getrandbits(32)), self.trials[number]
        while True:
            params = {
                key: sampler.sample_independent(self.study, like, key, each) for key, each in self.distributions.items()
            }
            if params not in known:
                return params

    @contextmanager
    def running(self, number: int) -> Iterator[None]:
        """Give signs of life of a trial, by which others know that it is being run."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(HEARTBEAT):
                self._beat(number)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()

    def _beat(self, number: int) -> None:
        study = self._storage.get_study_id_from_name(self.search.space.name)
        self._storage.record_heartbeat(self._storage.get_trial_id_from_study_id_trial_number(study, number))

    def values(self, trial: "FrozenTrial") -> dict[str, Any]:
        """The values of a trial, by searched key."""
        tried = self.search.tried
        return {
            key: each.rounded(trial.params[key]) if isinstance(each, Interval) else json.loads(trial.params[key])
            for key, each in tried.items()
        }

    def state(self, number: int) -> str:
        """What became of a trial, in a word."""
        return self.trials[number].state.name.lower()


def shown_address(name: str) -> str:
    """Where the study is kept, for people."""
    url = os.environ.get("ASC_SWEEP_STORAGE")
    return f"the study {name} in {without_credentials(url)}" if url else str(FOLDER / f"{name}.db")


def _workspace() -> str:
    return f"{socket.gethostname()}:{Path.cwd()}"


def _distribution(tried: Interval | list[Any]) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(tried, list):
        return CategoricalDistribution([json.dumps(each) for each in tried])  # a database takes no mappings
    if tried.whole:
        return IntDistribution(tried.low, tried.high, log=tried.log, step=tried.step or 1)
    return FloatDistribution(float(tried.low), float(tried.high), log=tried.log, step=tried.step or None)


@contextmanager
def _telling() -> Iterator[None]:
    """Tell in one line, without passwords, that the store cannot be used."""
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (OptunaError, SQLAlchemyError, ImportError, RuntimeError) as error:
        text = reason(error.orig if isinstance(getattr(error, "orig", None), Exception) else error)  # type: ignore[union-attr]
        raise UserError(f"the store of sweeps cannot be used ({without_credentials(text)})") from None

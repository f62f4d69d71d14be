"""Optuna's tree-structured Parzen estimator, in memory: it is told again what the notes of a study hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from common.domain.search import Dimension, Values

STARTUP_TRIALS = 10
"""Trials thrown by dice before there is anything to learn from."""


class OptunaSearcher:
    """TPE over all parameters together; trials under way count as poor, so that neighbours are not tried at once.

    Each trial has a sampler with a seed of its own number: the state of one long-lived sampler would die with its process.
    """

    def __init__(self, space: Sequence[Dimension], seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._seed = seed
        self._distributions = {item.name: _distribution(item) for item in space}
        self._study = optuna.create_study(direction="maximize")

    def propose(self, number: int) -> Values:
        """Values of trial `number`."""
        self._study.sampler = optuna.samplers.TPESampler(
            n_startup_trials=STARTUP_TRIALS, multivariate=True, constant_liar=True, seed=self._seed_of(number)
        )
        values: Values = dict(self._study.ask(fixed_distributions=self._distributions).params)
        return values

    def _seed_of(self, number: int) -> int:
        return int(np.random.SeedSequence((self._seed, number)).generate_state(1)[0])

    def recall(self, number: int, values: Values) -> None:
        """Trial `number` was given `values`."""
        running = optuna.trial.create_trial(
            state=TrialState.RUNNING, params=dict(values), distributions=self._distributions
        )
        self._study.add_trial(running)

    def learn(self, number: int, value: float | None) -> None:
        """Trial `number` came to `value`; what has none counts below everything that has one."""
        if value is None:
            self._study.tell(number, state=TrialState.PRUNED)
        else:
            self._study.tell(number, value)


def _distribution(item: Dimension) -> BaseDistribution:
    if item.kind is bool:
        return CategoricalDistribution((False, True))
    if item.kind is int:
        return IntDistribution(int(item.low), int(item.high), log=item.is_log)
    return FloatDistribution(float(item.low), float(item.high), log=item.is_log)

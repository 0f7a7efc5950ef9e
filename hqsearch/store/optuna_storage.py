"""Optuna's storage as the log uses it. Imports Optuna: only the driver does."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import models


class LogStorage(RDBStorage):
    """Writes a trial's parameters without three queries for each.

    Optuna looks up the trial and an earlier value of every parameter, to compare the
    distributions. A study's space is part of its fingerprint, so they cannot differ.
    """

    def _set_trial_param_without_commit(
        self,
        session: Any,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None = None,
    ) -> None:
        session.add(
            models.TrialParamModel(
                trial_id=trial_id,
                param_name=param_name,
                param_value=param_value_internal,
                distribution_json=_as_json(distribution),
            )
        )


@lru_cache(maxsize=4096)
def _as_json(distribution: BaseDistribution) -> str:
    return distribution_to_json(distribution)

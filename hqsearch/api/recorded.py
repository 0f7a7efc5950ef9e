"""What a study that was run can be asked: :class:`RecordedStudy`, the reading half of ``Study``.

Nothing here trains, writes or needs torch.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from hqsearch.api.describing import plain
from hqsearch.errors import InputError

if TYPE_CHECKING:
    from hqsearch.api.answers import Status
    from hqsearch.api.chosen import Chosen
    from hqsearch.api.trials import Front, Trial, Trials
    from hqsearch.problem.budgets import Budget
    from hqsearch.store.results import Results


class RecordedStudy:
    """A study's results, by the name or definition file that it was run with."""

    _asked: str
    _studies_dir: Path
    _storage: str | None

    @property
    def name(self) -> str:
        """What its state is kept under."""
        return Path(self._asked).stem if self._asked.endswith(".toml") else self._asked

    @property
    def folder(self) -> Path:
        """Where its state is kept."""
        return self._studies_dir.resolve() / self.name

    def front(self) -> Front:
        """The candidates worth having, under the budgets of the last run, with the verdict.

        Raises:
            InputError: the study does not exist or has not been run.
        """
        return self._front()

    def trials(self) -> Trials:
        """Every evaluation.

        Raises:
            InputError: the study does not exist or has not been run.
        """
        from hqsearch.api.trials import Trials

        with self._results() as results:
            return Trials(str(results.study["name"]), results.trials(), results.objectives)

    def trial(self, number: int) -> Trial:
        """One evaluation, with its costs layer by layer.

        Raises:
            InputError: there is no such study or trial.
        """
        from hqsearch.api.trials import Trial

        with self._results() as results:
            for row in results.trials():
                if row.number == number:
                    layers, model = results.layers(number), results.models.get(number)
                    return Trial(row, results.objectives, layers, model)
        raise InputError(f"study {self._asked!r} has no trial {number}")

    def status(self) -> Status:
        """Progress, failures and time left.

        Raises:
            InputError: the study does not exist or has not been run.
        """
        from hqsearch.analysis.overview import status_of
        from hqsearch.api.answers import Status

        with self._results() as results:
            return Status(status_of(results))

    def choose(self, **limits: str | float) -> Chosen:
        """One member of the front: by limits, else the knee.

        ``choose(energy="<= 20 uJ")`` takes the most accurate of those that meet it,
        ``choose(accuracy=">= 92 %")`` the one of least energy: the best in the first objective
        without a limit. Without limits it is the knee: with accuracy and the logarithms of all
        costs scaled to 0…1 over the front, the member farthest above the line between the
        cheapest and the most accurate end (:mod:`hqsearch.analysis.choosing`).

        Args:
            limits: by objective, or of ``average_bits``: text with the units of
                ``[constraints]``; accuracy as a fraction or in %; or a number in its own unit.

        Raises:
            LimitsNotMet: no member meets them; the message tells the nearest.
            DefinitionError: a limit that cannot be read.
            InputError: there is no front yet.
        """
        from hqsearch.analysis.choosing import choose
        from hqsearch.api.chosen import Chosen

        front = self.front()
        given = {name: plain(limit) for name, limit in limits.items()}
        selection = choose(front.rows, front.every, front.objectives, given)
        return Chosen(front.study, selection, front.objectives)

    def _results(self) -> AbstractContextManager[Results]:
        from hqsearch.analysis.overview import opened_results

        return opened_results(self._asked, self._studies_dir, self._storage)

    def _front(self, budgets: tuple[Budget, ...] | None = None) -> Front:
        from hqsearch.api.trials import Front

        with self._results() as results:
            return Front(results, budgets)

"""What a study that was run can be asked: :class:`RecordedStudy`, the reading half of ``Study``.

Nothing here trains, writes or needs torch.
"""

from __future__ import annotations

import html
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from hqsearch.api.arguments import number_of, whole
from hqsearch.api.describing import path_of, plain, require
from hqsearch.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hqsearch.analysis.pictures.facts import Facts
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

    @property
    def driver(self) -> str:
        """Who drives it now; empty where nobody does."""
        with self._results() as results:
            return results.driver

    def front(self, *, raw: bool = False) -> Front:
        """The candidates worth having, under the budgets of the last run, with the verdict.

        Args:
            raw: with every member, also those that the study's resolution does not tell apart.

        Raises:
            InputError: the study does not exist or has not been run.
        """
        return self._front(raw=raw)

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
            DefinitionError: what is given is no number.
            InputError: there is no such study or trial.
        """
        from hqsearch.api.trials import Trial

        number = number_of(number, "trial")
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
        selection = choose(front.own, front.every, front.objectives, given)
        return Chosen(front.study, selection, front.objectives)

    def plot(
        self,
        kind: str = "front",
        *others: RecordedStudy,
        trial: int | None = None,
        task: int | None = None,
        path: str | Path | None = None,
    ) -> Figure:
        """Draw a picture of the study.

        Args:
            kind: ``front``, ``bits``, ``breakdown``, ``probabilities``, ``weights``, ``rates``,
                ``hypervolume`` or ``calibration``.
            others: studies whose fronts go into the same picture; with ``front`` only.
            trial: of ``weights``; :meth:`hqsearch.Study.keep_weights` has to be called first.
            task: of ``probabilities``: which supernet, from 0.
            path: file to write it to as well, ``.svg``, ``.png`` or ``.pdf``.

        Returns:
            matplotlib's ``Figure``.

        Raises:
            UnknownName: no such kind.
            InputError: the study has not got what it shows; studies of different objectives.
        """
        from hqsearch.show.pictures.drawing import figure, save
        from hqsearch.show.pictures.kinds import check_kind, drawing

        require(kind, str, "kind", "the name of a picture")
        for other in others:
            require(other, RecordedStudy, "another study", "a hqsearch.Study")
        trial, task = whole(trial, "trial", 0), whole(task, "task", 0)
        check_kind(kind, 1 + len(others), trial, task)
        made = drawing(kind, [study._facts() for study in (self, *others)], trial, task)
        if path is not None:
            save(made, path_of(path))
        drawn: Figure = figure(made)
        return drawn

    def show_data(self, path: str | Path | None = None) -> Figure:
        """Draw frames of every class, and how lively samples are by class and split.

        Args:
            path: file to write it to as well, ``.png``, ``.svg`` or ``.pdf``.

        Returns:
            matplotlib's ``Figure``.

        Raises:
            InputError: the study has prepared no frames.
        """
        from hqsearch.analysis.pictures.data import data_picture
        from hqsearch.show.pictures.data import draw_data
        from hqsearch.show.pictures.drawing import figure, save

        made = draw_data(data_picture(self._facts()))
        if path is not None:
            save(made, path_of(path))
        drawn: Figure = figure(made)
        return drawn

    def report(self, path: str | Path | None = None) -> Path:
        """Write one self-contained page with every picture and table of the study.

        Args:
            path: ``.html``; ``report/report.html`` in the study's folder by default.

        Raises:
            InputError: the study does not exist or has not been run; a file that is none.
        """
        from hqsearch.show.report.page import write_report

        return write_report(self._facts(), None if path is None else path_of(path))

    def _repr_html_(self) -> str:
        """Its front, for a notebook; a line where there is none yet."""
        from hqsearch.errors import HqsearchError
        from hqsearch.show.report.notebook import notebook_html

        try:
            return notebook_html(self._facts())
        except HqsearchError as error:
            return f"<p>{html.escape(repr(self))}: {html.escape(str(error))}</p>"

    def _facts(self) -> Facts:
        from hqsearch.analysis.pictures.facts import study_facts

        return study_facts(self._asked, self._studies_dir, self._storage)

    def _results(self) -> AbstractContextManager[Results]:
        from hqsearch.analysis.overview import opened_results

        return opened_results(self._asked, self._studies_dir, self._storage)

    def _front(self, budgets: tuple[Budget, ...] | None = None, raw: bool = False) -> Front:
        from hqsearch.api.trials import Front

        with self._results() as results:
            return Front(results, budgets, raw)

"""The object that a notebook, a script and the command line use: :class:`Study`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hqsearch.api.arguments import number_of, one_of, seconds, whole
from hqsearch.api.describing import Description, require, require_of_run, require_settings
from hqsearch.api.members import Member, member_number
from hqsearch.api.requesting import Device, ExecutorKind, RequestingStudy
from hqsearch.errors import DefinitionError, HqsearchError, RunFailed, StudyMissing

if TYPE_CHECKING:
    from hqsearch.api.answers import Check, Confirmation, Imported, Run
    from hqsearch.api.comparison import Comparison
    from hqsearch.export.counted import CountedCosts
    from hqsearch.export.formats import Exported
    from hqsearch.export.trained import TrainedModel
    from hqsearch.search.events import Listener


class Study(RequestingStudy):
    """A search for the quantizations of one network that are worth having.

    From a definition file, by name or path::

        study = hqsearch.Study("gesture")

    or from objects::

        study = hqsearch.Study("edge", model=build, data=hqsearch.Frames(train, validation, test))

    Making one is quick and touches nothing on disk; what is wrong with a definition is told by
    the first method that needs it (``check`` tells all of it). State lives in
    ``studies_dir/name``; every run, result and front is in the log there, whatever happens to
    this process.

    Args:
        study: name or TOML file of a definition; the name of a study that was run; or, with the
            arguments below, the name of a new one.
        studies_dir: where studies keep their state.
        storage: URL of a log on a server, instead of a file there.
        recordings: folder of the recordings that a definition needs.
        settings: single keys of the definition, ``{"evaluation.epochs": 1}``, as the command
            line's ``--set``.
        model: the network: a function that returns it, which is called with those of the keywords
            ``timesteps, size, classes, in_channels`` that it takes, and initialised from the
            study's seed; a ``torch.nn.Module``, whose own weights are where its training starts;
            or the name of a built-in one (``"spikformer"``), ``"file.py:function"``, or
            ``"package.module:function"``. It sees
            frames ``[T, N, C, H, W]`` and returns logits ``[N, classes]``.
        options: keywords for the function, or of the built-in network.
        weights: file of trained weights that the network starts from (``.safetensors``, or what
            ``torch.save`` makes of a state dict); it is then not trained, unless
            ``evaluation.parent_epochs`` asks for it.
        rename: of the names in that file: pairs of regex and replacement, or a mapping by name
            (``"public-spikformer"``).
        neurons: classes of spiking neurons of your own, by name or as ``{"class": …, "reset": …}``.
        data: :class:`hqsearch.Frames`, the name of a data set, or a ``[data]`` table.
        choices: what every layer may take: ``2u 4u 8u`` uniform, ``2l 4l`` power-of-two,
            ``fp32``; by default 2u, 4u, 2l, 4l and fp32.
        space: instead of choices: the name or the TOML file of a space, or its table with
            rules, ``{"choices": […], "layers": [{"match": "head", "pin": "fp32"}]}``.
        evaluator: its name, ``"file.py:Class"``, or a class that is in a file of its own.
        objectives: at least two of the evaluator's.
        constraints: hard limits, ``{"energy": "<= 0.3 fp32"}``.
        title: what reports call it.

    A network that is in no file (of a notebook, a script, or a module) goes to this process's
    own workers and is never stored; such a study is gone on with only with an equal network.

    Raises:
        DefinitionError: an argument of the wrong type.
    """

    def __init__(
        self,
        study: str | Path,
        *,
        studies_dir: str | Path = "studies",
        storage: str | None = None,
        recordings: str | Path | None = None,
        settings: Mapping[str, Any] | None = None,
        model: Any = None,
        options: Mapping[str, Any] | None = None,
        weights: str | Path | None = None,
        rename: str | Sequence[Sequence[str]] | None = None,
        neurons: Sequence[Any] | None = None,
        data: Any = None,
        choices: Sequence[str] | None = None,
        space: str | Mapping[str, Any] | None = None,
        evaluator: Any = None,
        objectives: Sequence[str] | None = None,
        constraints: Mapping[str, str] | None = None,
        title: str | None = None,
    ) -> None:
        require(study, str | Path, "study", "a name or a TOML file")
        for name, place in (("studies_dir", studies_dir), ("recordings", recordings)):
            require(place, str | Path, name, "a folder")
        require(storage, str, "storage", "a URL")
        require_settings(settings)
        if study is None or studies_dir is None:
            raise DefinitionError("a study needs a name and a studies_dir")
        self._asked, self._studies_dir = str(study), Path(studies_dir)
        self._storage, self._settings = storage, dict(settings or {})
        self._recordings = None if recordings is None else Path(recordings)
        given = {
            "model": model,
            "options": options,
            "weights": weights,
            "rename": rename,
            "neurons": neurons,
            "data": data,
            "choices": choices,
            "space": space,
            "evaluator": evaluator,
            "objectives": objectives,
            "constraints": constraints,
            "title": title,
        }
        described = {name: value for name, value in given.items() if value is not None}
        if set(described) == {"constraints"}:  # of a study that is defined elsewhere
            require(constraints, Mapping, "constraints", "a dictionary")
            self._settings |= {f"constraints.{k}": v for k, v in (constraints or {}).items()}
            described = {}
        self._described = None
        if described:
            self._described = Description(self._asked, **described, settings=self._settings)

    def __repr__(self) -> str:
        return f"Study({self._asked!r}, studies_dir={str(self._studies_dir)!r})"

    # Before and while it runs

    def check(
        self,
        *,
        device: Device = "auto",
        workers: int | None = None,
        executor: ExecutorKind = "auto",
        ray_address: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Check:
        """What a run would find before it starts, all of it at once; nothing is created.

        Returns:
            Layers and their choices, number of candidates, data, objectives, and every problem;
            problems are in the answer, not raised.
        """
        from hqsearch.api.answers import Check
        from hqsearch.study.checking import Findings, check_study

        try:
            request = self._request(settings, device, workers, executor, ray_address)
        except HqsearchError as error:
            return Check(Findings(self.name, problems=[str(error)]))
        return Check(check_study(request))

    def run(
        self,
        strategy: str = "nsga2",
        *,
        evaluations: int | None = None,
        seed: int | None = None,
        workers: int | None = None,
        executor: ExecutorKind = "auto",
        device: Device = "auto",
        constraints: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
        ray_address: str | None = None,
        settings: Mapping[str, Any] | None = None,
        fresh: bool = False,
        time_limit: float | str | None = None,
        until: str | None = None,
        between: Mapping[str, str] | None = None,
        listener: Listener | None = None,
        progress: bool = False,
    ) -> Run:
        """Search; or continue the run with this strategy, options, constraints and seed.

        Args:
            strategy: ``nsga2``, ``gumbel``, ``sensitivity``, ``random``, ``optuna-tpe``, ….
            evaluations: of this run, uniform baselines included; as defined by default.
            seed: of the strategy; as defined by default.
            workers: evaluations at a time; as many as fit on this machine by default.
            executor: ``"in-process"``, ``"ray"``, or whichever fits.
            device: ``"cpu"``, ``"cuda"``, or a GPU where there is one.
            constraints: hard limits of this run: ``{"energy": "<= 0.3 fp32"}``.
            options: the strategy's own.
            ray_address: an existing Ray cluster.
            settings: single keys of the definition.
            fresh: move the study's old state aside first; it is never deleted.
            time_limit: seconds, or ``"20m"``, from now on; nothing is begun after, what runs is
                finished, and the same call or :meth:`resume` goes on.
            until: ``"stalled"``: end where three batches in a row promise no more hypervolume than
                the front's resolution; ``"stalled:5"``: five.
            between: ranges of costs in which the front is to be refined, ``{"energy": "15 uJ .. 30
                uJ"}``: a preference, where ``constraints`` are limits.
            listener: is told what happens; silent by default.
            progress: show evaluations, time left and the front on standard error.

        Raises:
            InputError: bad usage or bad input; nothing was created.
            RunFailed: it broke down after it had started; what had finished is in the log.
        """
        from hqsearch.strategies import strategy_class
        from hqsearch.study.running import start

        require_of_run(strategy, options, constraints, between, until)
        require_settings(settings)
        strategy_class(strategy)
        changes = {
            **{f"constraints.{k}": v for k, v in (constraints or {}).items()},
            **{f"strategy.{strategy}.{k}": v for k, v in (options or {}).items()},
            **(settings or {}),
        }
        request = self._request(changes, device, workers, executor, ray_address)
        request = replace(
            request,
            strategy=strategy,
            evaluations=whole(evaluations, "evaluations", 1),
            seed=whole(seed, "seed", 0),
            fresh=fresh,
            time_limit=seconds(time_limit, "time_limit"),
            until=until,
            between={str(k): str(v) for k, v in (between or {}).items()},
        )
        return self._launch(start, request, listener, progress)

    def resume(
        self,
        *,
        workers: int | None = None,
        executor: ExecutorKind = "auto",
        device: Device = "auto",
        ray_address: str | None = None,
        time_limit: float | str | None = None,
        listener: Listener | None = None,
        progress: bool = False,
    ) -> Run:
        """Finish the last unfinished run with its stored options; see :meth:`run`.

        Raises:
            StorageError: there is no study, or every run of it is finished.
            StudyMismatch: it was made from other Python objects.
            InputError: it was made from Python objects, and this one was not.
        """
        from hqsearch.study.running import resume

        request = self._recorded(device, workers, executor, ray_address)
        request = replace(request, time_limit=seconds(time_limit, "time_limit"))
        return self._launch(resume, request, listener, progress)

    def import_results(
        self,
        results: str | Path | Sequence[Mapping[str, Any]],
        source: str | None = None,
        *,
        listener: Listener | None = None,
        progress: bool = False,
    ) -> Imported:
        """Put results that were measured elsewhere into the study's log, as a run of its own.

        They are history for runs that begin later, are marked wherever they are shown, and
        answer no evaluation; no verdict, baseline, confirmation or choice rests on them. A study
        that has no log yet is prepared first, as for a run.

        Args:
            results: a ``.csv`` or ``.json`` file, or a list of dictionaries: ``choices``
                {dimension: value} and ``values`` {objective: number} (accuracy a fraction,
                energy in µJ, storage in KiB; costs may be left out), and, where known,
                ``standard_errors``, ``seed`` and ``source``. What ``hqsearch trials --csv`` or
                ``--json`` prints of another study of this space is such a file.
            source: where they were measured; the file's name where neither says.

        Raises:
            ImportRefused: with everything that is wrong with the rows; nothing was changed.
            InputError: no such study or file, or the study is being run.
        """
        from hqsearch.api.answers import Imported
        from hqsearch.api.following import following
        from hqsearch.study.importing import import_results

        require(source, str, "source", "a text")
        require(results, str | Path | Sequence, "results", "a file, or a list of dictionaries")
        given = Path(results) if isinstance(results, str | Path) else results
        request = self._request(None, "auto", None, "auto", None)
        if self._described is not None:
            with suppress(StudyMissing):
                request = self._recorded("auto", None, "auto", None)
        with following(listener, progress) as notes:
            return Imported(import_results(request, given, source, notes))

    def confirm(
        self,
        seeds: int = 3,
        epochs: int | Literal["final"] | None = None,
        *,
        parents: int | None = None,
        splits: int | None = None,
        controls: bool = True,
        claims: bool = False,
        workers: int | None = None,
        executor: ExecutorKind = "auto",
        device: Device = "auto",
        ray_address: str | None = None,
        listener: Listener | None = None,
        progress: bool = False,
    ) -> Confirmation:
        """Retrain the front, the uniform assignments and controls; measure on test.

        Args:
            seeds: trainings of each candidate, all fresh; from each parent.
            epochs: of each; as searched by default, ``"final"``: as many as :meth:`train` takes.
            parents: to train anew and start from; by default all start from the study's own.
            splits: divisions of the recordings into train and test, each with parents of its own,
                pooled; networks are tested on what they did not learn from.
            controls: also uniform widths not on offer, what layer scores alone would choose, and
                the best of a random run in the log.
            claims: only members that carry claims of an earlier one, at most five, and controls.
            workers: see :meth:`run`; so are the others.

        Raises:
            InputError: no front, no confirmation to pick by, no test split; or an evaluator that
                cannot confirm, or not so.
            RunFailed: no training succeeded.
        """
        from hqsearch.api.answers import Confirmation
        from hqsearch.api.following import following
        from hqsearch.study.confirming import Starts, among, confirm

        seeds = whole(seeds, "seeds", 1) or 1
        starts = Starts(whole(parents, "parents", 1), whole(splits, "splits", 2))
        epochs = epochs if epochs == "final" else whole(epochs, "epochs", 1)
        request = self._recorded(device, workers, executor, ray_address)
        with following(listener, progress) as notes:
            confirm(request, seeds, epochs, notes, among(controls, claims), starts)
        front = self.front()
        if (found := front.claims if claims else front.confirmation) is None:
            raise RunFailed(f"no replicate succeeded; hqsearch trials --study {self._asked}")
        return Confirmation(front.study, found, front.objectives, front.verdict)

    def keep_weights(
        self,
        trial: int,
        *,
        device: Device = "auto",
        listener: Listener | None = None,
        progress: bool = False,
    ) -> Path:
        """Evaluate a trial once more and keep its network's weights, before and after.

        Evaluations discard them. What comes out is compared with the log; nothing is logged.

        Returns:
            ``weights/<trial>.safetensors`` in the study's folder: ``before/<layer>`` of the
            parent and ``after/<layer>`` of the evaluated network.

        Raises:
            InputError: no such trial, one that was not completed, or an evaluator without weights.
            RunFailed: it came to another accuracy than the log holds.
        """
        from hqsearch.api.following import following
        from hqsearch.study.repeating import keep_weights

        number = number_of(trial, "trial")
        request = self._recorded(device, None, "auto", None)
        with following(listener, progress) as notes:
            return keep_weights(request, number, notes)

    def compare(
        self,
        strategies: Sequence[str],
        seeds: int = 5,
        *,
        evaluations: int | None = None,
        workers: int | None = None,
        executor: ExecutorKind = "auto",
        device: Device = "auto",
        ray_address: str | None = None,
        settings: Mapping[str, Any] | None = None,
        clock: Literal["wall", "cpu"] = "wall",
        listener: Listener | None = None,
        progress: bool = False,
    ) -> Comparison:
        """Strategies against each other and against uniform quantization, over several seeds.

        Runs that are in the log already are not made again.

        Args:
            strategies: names, with options ``nsga2:assist=false``.
            seeds: of each strategy.
            evaluations: of every run.
            clock: seconds that runs are charged; ``"cpu"`` where a machine is shared.
            workers: see :meth:`run`; so are the others.

        Raises:
            InputError: bad usage or bad input; nothing was created.
        """
        from hqsearch.api.comparison import Comparison
        from hqsearch.api.following import following
        from hqsearch.study.comparing import compare

        require(strategies, Sequence, "strategies", 'a list such as ["nsga2", "random"]')
        for strategy in strategies:
            require(strategy, str, "a strategy", "a name")
        one_of(clock, "clock")
        seeds = whole(seeds, "seeds", 1) or 1
        request = self._request(settings, device, workers, executor, ray_address)
        request = replace(request, evaluations=whole(evaluations, "evaluations", 1))
        with following(listener, progress) as notes:
            return Comparison(compare(request, list(strategies), seeds, notes, clock))

    def train(
        self,
        member: Member,
        seeds: int = 1,
        epochs: int | None = None,
        merge: bool = False,
        *,
        workers: int | None = None,
        executor: ExecutorKind = "auto",
        device: Device = "auto",
        ray_address: str | None = None,
        listener: Listener | None = None,
        progress: bool = False,
    ) -> TrainedModel:
        """The final training of one candidate, whose weights are kept with the study.

        A longer schedule from the same parent. It is measured on the test split once. A model
        that is there, of the same training, is not trained again.

        Args:
            member: a trial of a front or its number, or what :meth:`choose` gave.
            seeds: trainings, of which the best on validation is kept.
            epochs: of each; ``evaluation.final_epochs`` by default.
            merge: learn from the validation split, too; with one seed.
            workers: see :meth:`run`; so are the others.

        Returns:
            A torch module in evaluation mode, with its accuracy on test, to use or to export.

        Raises:
            InputError: no such trial; one that failed, was stopped, is infeasible or has not
                ended; no test split; or an evaluator that keeps no weights.
            RunFailed: every training failed.
        """
        from hqsearch.api.following import following
        from hqsearch.study.finishing import train_member
        from hqsearch.study.models import loaded

        number = member_number(member)
        seeds = whole(seeds, "seeds", 1) or 1
        epochs = whole(epochs, "epochs", 1)
        request = self._recorded(device, workers, executor, ray_address)
        with following(listener, progress) as notes:
            kept, evaluator = train_member(request, number, seeds, epochs, merge, notes)
        return loaded(kept, evaluator)

    def export(self, member: Member, path: str | Path, format: str = "hq") -> Exported:
        """Write the model of a trial that :meth:`train` has trained; nothing is trained here.

        Args:
            member: a trial or its number, or what :meth:`choose` gave.
            path: of the file, or of the folder.
            format: ``hq``: one packed file, whose tensors take exactly the reported storage;
                ``c``: a folder of C99 that runs on integers alone.

        Raises:
            InputError: an unknown format; a trial that was not trained; a path that cannot be
                written to.
        """
        from hqsearch.export.formats import export_model, require_format
        from hqsearch.study.exporting import kept_model

        require(format, str, "format", "a name")
        require_format(format)
        request = self._recorded("cpu", None, "auto", None)
        return export_model(kept_model(request, member_number(member)), path, format)

    def count(self, member: Member, samples: int = 32) -> CountedCosts:
        """Operations of a trained member's integer code, beside what the cost model counts.

        Args:
            member: as :meth:`export`.
            samples: of the validation split, spread evenly.

        Raises:
            InputError: as :meth:`export`; or an evaluator that has no samples to run.
            ExportError: a part of the network has no integer form.
        """
        from hqsearch.study.counting import count_operations

        request = self._recorded("cpu", None, "auto", None)
        number = whole(samples, "samples", 1) or 1
        return count_operations(request, member_number(member), number)

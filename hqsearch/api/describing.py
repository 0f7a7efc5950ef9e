"""From Python objects to the tables of a definition, checked by type first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hqsearch.errors import DefinitionError, PluginError

if TYPE_CHECKING:
    from hqsearch.data.given import FolderFrames, Frames
    from hqsearch.definition import StudyDefinition
    from hqsearch.evaluator import GivenObjects
    from hqsearch.models.given import GivenModel

#: What every layer may take unless a study says otherwise.
CHOICES = ("2u", "4u", "2l", "4l", "fp32")


@dataclass(frozen=True)
class Description:
    """A study as it was described in Python; see :class:`hqsearch.Study` for each field."""

    name: str
    title: str | None = None
    model: Any = None
    options: Mapping[str, Any] | None = None
    weights: str | Path | None = None
    rename: str | Sequence[Sequence[str]] | None = None
    neurons: Sequence[Any] | None = None
    data: Any = None
    choices: Sequence[str] | None = None
    space: str | Mapping[str, Any] | None = None
    evaluator: Any = "short-qat"
    objectives: Sequence[str] = ("accuracy", "energy", "storage")
    constraints: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        where = f"study {self.name!r}"
        if not self.name or "/" in self.name or self.name.endswith(".toml"):
            raise DefinitionError(f"{where}: a name is needed, not a path, to keep its state under")
        require(self.title, str, "title")
        require(self.weights, str | Path, "weights", "a file of trained weights")
        require(self.neurons, Sequence, "neurons", 'a list such as ["net.MyLIF"]')
        for name in ("weights", "rename", "neurons"):
            if getattr(self, name) is not None and self.model is None:
                raise DefinitionError(f"{where}: {name} belongs to a model; give model=…")
        require(self.choices, Sequence, "choices", 'a list such as ["2u", "4u", "fp32"]')
        require(self.objectives, Sequence, "objectives", 'a list such as ["accuracy", "energy"]')
        require(self.space, str | Mapping, "space", "a name, a TOML file or a table")
        for name in ("options", "constraints"):
            require(getattr(self, name), Mapping, name, "a dictionary")
        require_settings(self.settings)
        if self.space is not None and self.choices is not None:
            raise DefinitionError(f"{where}: give either space or choices, not both")
        if self.options and (self.model is None or not _is_made(self.model)):
            raise DefinitionError(f"{where}: options are those of a model that is named or built")
        if self.model is not None and not (isinstance(self.model, str) or callable(self.model)):
            raise DefinitionError(
                f"{where}: model must be a function that builds a network, a torch module or a "
                f"name (given: a {type(self.model).__name__})"
            )

    def made(
        self, studies_dir: Path, settings: Mapping[str, Any]
    ) -> tuple[StudyDefinition, GivenObjects]:
        """The definition, which says by what its objects are known, and the objects.

        Args:
            studies_dir: where the study keeps its state.
            settings: ``key.path`` → value, over its own.

        Raises:
            InputError: something in it cannot be used.
        """
        from hqsearch.data.given import Frames
        from hqsearch.definition import study_of_tables
        from hqsearch.evaluator import GivenObjects
        from hqsearch.study.given import with_objects
        from hqsearch.study.opening import study_folder

        data = self._data()
        frames = data if isinstance(data, Frames) else None
        model, network = self._model(data)
        tables: dict[str, Any] = {
            "title": self.title or "",
            "space": self._space(),
            "evaluator": self._evaluator(),
            "objective": [{"name": plain(name)} for name in self.objectives],
            "constraints": dict(self.constraints),
        }
        if data is not None:
            tables["data"] = dict(data) if isinstance(data, Mapping) else data.table()
        if model is not None:
            tables["model"] = model
        given = {key: plain(value) for key, value in {**self.settings, **settings}.items()}
        self._require_own(given, frames)
        definition = study_of_tables(tables, self.name, Path.cwd(), given)
        objects = GivenObjects(network, frames)
        return with_objects(definition, objects, study_folder(self.name, studies_dir)), objects

    def _require_own(self, given: Mapping[str, Any], frames: Frames | None) -> None:
        """Refuse settings that the objects decide."""
        for key in given:
            ours = key.startswith("data.") or (key == "model.timesteps" and not _is_still(frames))
            if frames is not None and ours:
                raise DefinitionError(
                    f"study {self.name!r}: {key} is decided by the frames; change those"
                )

    def _data(self) -> Frames | FolderFrames | Mapping[str, Any] | None:
        """What was given as data."""
        from hqsearch.data.given import FolderFrames, Frames

        data = self.data
        if isinstance(data, str):
            return {"dataset": data}
        if data is None or isinstance(data, Frames | FolderFrames | Mapping):
            return data
        raise DefinitionError(
            f"study {self.name!r}: data must be hqsearch.Frames(train, validation, test), "
            "hqsearch.Images(…), either's from_folder(path), the name of a data set or a table "
            "(given: a "
            f"{type(data).__name__})"
        )

    def _model(self, data: Any) -> tuple[dict[str, Any] | None, GivenModel | None]:
        """``[model]``, and the network where no file holds it."""
        if self.model is None:
            return None, None
        from hqsearch.models.given import GivenModel, file_reference

        timesteps = getattr(data, "timesteps", None)
        table = {**(self.options or {}), **({} if timesteps is None else {"timesteps": timesteps})}
        if self.weights is not None:
            table["weights"] = str(Path(self.weights).expanduser().resolve())
        if self.rename is not None:
            named = isinstance(self.rename, str)
            table["rename"] = self.rename if named else [_pair(pair) for pair in self.rename]
        if self.neurons is not None:
            table["neurons"] = [_neuron(entry) for entry in self.neurons]
        if isinstance(self.model, str):
            key = "path" if ":" in self.model else "name"
            return {key: self.model, **table}, None
        reference = file_reference(self.model)
        if reference is not None:
            return {"path": reference, **table}, None
        # What it is known by is found out when the data are known.
        return {"object": {}, **table}, GivenModel(self.model)

    def _space(self) -> Any:
        if self.space is not None:
            return self.space if isinstance(self.space, str) else dict(self.space)
        return {"choices": [plain(c) for c in (CHOICES if self.choices is None else self.choices)]}

    def _evaluator(self) -> str:
        if isinstance(self.evaluator, str):
            return self.evaluator
        from hqsearch.models.given import file_reference

        reference = file_reference(self.evaluator) if callable(self.evaluator) else None
        if reference is None:
            raise PluginError(
                f"study {self.name!r}: an evaluator is a name, 'file.py:Class', or a class that is "
                "defined in a file of its own, which workers can load"
            )
        return reference


def require(value: Any, kind: Any, name: str, what: str = "") -> None:
    """Refuse an argument of a wrong type; None is none given.

    Raises:
        DefinitionError: it names the argument and what it should be.
    """
    text = isinstance(value, str) and kind is Sequence
    if value is not None and (text or not isinstance(value, kind)):
        expected = what or f"a {getattr(kind, '__name__', kind)}"
        raise DefinitionError(f"{name}: expected {expected} (given: {value!r})")


def require_of_run(strategy: Any, options: Any, constraints: Any, between: Any, until: Any) -> None:
    """Refuse arguments of a run that are of another kind than they should be.

    Raises:
        DefinitionError: naming the first of them.
    """
    require(strategy, str, "strategy", "a name")
    require(options, Mapping, "options", "a dictionary")
    require(constraints, Mapping, "constraints", 'such as {"energy": "<= 0.3 fp32"}')
    require(between, Mapping, "between", 'such as {"energy": "15 uJ .. 30 uJ"}')
    require(until, str, "until", '"stalled" or "stalled:5"')


def require_settings(settings: Any, name: str = "settings") -> None:
    """Refuse settings that are no texts → values; None is none given.

    Raises:
        DefinitionError: it names what should be there.
    """
    what = 'a dictionary such as {"evaluation.epochs": 1}'
    require(settings, Mapping, name, what)
    for key in settings or {}:
        require(key, str, f"a key of {name}", "a text such as 'evaluation.epochs'")


def path_of(value: Any, name: str = "path") -> Path:
    """A path.

    Raises:
        DefinitionError: it is none.
    """
    if value is None:
        raise DefinitionError(f"{name}: a file is needed")
    require(value, str | Path, name, "a file")
    return Path(value)


def plain(value: Any) -> Any:
    """A value as TOML has it: numpy's numbers and arrays as Python's, paths as text."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value) if isinstance(value, Path) else value


def _neuron(entry: Any) -> str | dict[str, Any]:
    """An entry of ``[model] neurons``; classes are named.

    Raises:
        DefinitionError: it is none.
    """
    if isinstance(entry, str):
        return entry
    if isinstance(entry, type):
        # A file may be loaded again by its own name: the packages above it are left out.
        return f"{entry.__module__.rpartition('.')[2]}.{entry.__qualname__}"
    if isinstance(entry, Mapping):
        table = {str(key): plain(value) for key, value in entry.items()}
        if isinstance(table.get("class"), type):
            table["class"] = _neuron(table["class"])
        return table
    raise DefinitionError(
        "neurons: each is a class, its name, or a dictionary such as "
        f'{{"class": MyLIF, "reset": "zero"}} (given: {entry!r})'
    )


def _pair(pair: Any) -> list[Any]:
    """An entry of ``rename``.

    Raises:
        DefinitionError: it is none.
    """
    pairs = isinstance(pair, Sequence) and not isinstance(pair, str) and len(pair) == 2
    if not pairs or not all(isinstance(text, str) for text in pair):
        raise DefinitionError(f"rename: each is a pair of regex and replacement (given: {pair!r})")
    return list(pair)


def _is_made(model: str | Callable[..., Any]) -> bool:
    """Whether options mean anything to it: a network that is one already has none."""
    return isinstance(model, str) or not hasattr(model, "state_dict") or isinstance(model, type)


def _is_still(frames: Frames | None) -> bool:
    """Whether what was given are pictures, which leave the timesteps to the network."""
    return frames is not None and frames.still

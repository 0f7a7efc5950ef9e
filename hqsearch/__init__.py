"""hqsearch: search for heterogeneous quantizations of spiking transformers.

::

    import hqsearch as hq

    study = hq.Study("edge", model=build, data=hq.Frames(train, validation, test))
    study.run("nsga2", evaluations=48)
    print(study.front())
    print(study.choose(energy="<= 20 uJ"))

What is in ``__all__`` is public; it is imported when it is first asked for, so that importing
hqsearch costs nothing.

The engine lives here. Evaluators, spaces and studies stand beside this folder in a
checkout and inside it in an installed wheel; both ways they are imported as
``hqsearch.evaluators``, ``hqsearch.spaces`` and ``hqsearch.studies``.
"""

import importlib as _importlib
from pathlib import Path as _Path
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from hqsearch._moved import install as _install_moved

if _TYPE_CHECKING:
    from hqsearch import export
    from hqsearch.api import (
        Check,
        Chosen,
        Comparison,
        Confirmation,
        Front,
        Imported,
        Run,
        Status,
        Study,
        Trial,
        Trials,
    )
    from hqsearch.data import Frames, Images
    from hqsearch.errors import (
        BudgetError,
        DataError,
        DefinitionError,
        DeviceError,
        DiskFull,
        ExportError,
        HqsearchError,
        ImportRefused,
        InputError,
        LimitsNotMet,
        PluginError,
        RunFailed,
        StorageError,
        StudyDamaged,
        StudyMismatch,
        StudyMissing,
        UnknownName,
    )
    from hqsearch.export.formats import Exported
    from hqsearch.export.trained import TrainedModel, load_model
    from hqsearch.search.events import Listener

__version__ = "0.3.0"

__all__ = [
    "BudgetError",
    "Check",
    "Chosen",
    "Comparison",
    "Confirmation",
    "DataError",
    "DefinitionError",
    "DeviceError",
    "DiskFull",
    "ExportError",
    "Exported",
    "Frames",
    "Front",
    "HqsearchError",
    "Images",
    "ImportRefused",
    "Imported",
    "InputError",
    "LimitsNotMet",
    "Listener",
    "PluginError",
    "Run",
    "RunFailed",
    "Status",
    "StorageError",
    "Study",
    "StudyDamaged",
    "StudyMismatch",
    "StudyMissing",
    "TrainedModel",
    "Trial",
    "Trials",
    "UnknownName",
    "__version__",
    "export",
    "load_model",
]

#: Where a public name is, unless it is an error or in ``hqsearch.api``.
_ELSEWHERE = {
    "Exported": "hqsearch.export.formats",
    "Frames": "hqsearch.data",
    "Images": "hqsearch.data",
    "Listener": "hqsearch.search.events",
    "TrainedModel": "hqsearch.export.trained",
    "load_model": "hqsearch.export.trained",
}

_root = _Path(__file__).resolve().parent
if not (_root / "evaluators").is_dir() and (_root.parent / "evaluators").is_dir():
    # A checkout (or an editable install of one): let the sibling folders be found.
    __path__.append(str(_root.parent))

_install_moved()


def __getattr__(name: str) -> _Any:
    if name not in __all__:
        raise AttributeError(f"module 'hqsearch' has no attribute {name!r}")
    if name == "export":  # a package that can be called
        return _importlib.import_module("hqsearch.export")
    errors = _importlib.import_module("hqsearch.errors")
    place = errors if hasattr(errors, name) else None
    if place is None:
        place = _importlib.import_module(_ELSEWHERE.get(name, "hqsearch.api"))
    value = getattr(place, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

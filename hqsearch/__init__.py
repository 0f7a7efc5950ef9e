"""hqsearch: search for heterogeneous quantizations of spiking transformers.

The engine lives here. Evaluators, spaces and studies stand beside this folder in a
checkout and inside it in an installed wheel; both ways they are imported as
``hqsearch.evaluators``, ``hqsearch.spaces`` and ``hqsearch.studies``.
"""

from pathlib import Path as _Path

from hqsearch._moved import install as _install_moved

__version__ = "0.1.0"

_root = _Path(__file__).resolve().parent
if not (_root / "evaluators").is_dir() and (_root.parent / "evaluators").is_dir():
    # A checkout (or an editable install of one): let the sibling folders be found.
    __path__.append(str(_root.parent))

_install_moved()

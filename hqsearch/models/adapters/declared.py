"""Neurons that a study declares: ``[model] neurons = ["net.MyLIF", {class = "net.Other", …}]``.

What a declaration leaves out is read from attributes that people use: ``tau``; ``threshold``,
``v_threshold`` or ``v_th``; ``v_reset`` (None: the threshold is subtracted). What can be read
nowhere stays unknown: such a neuron takes in no normalisation, and what it emits is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from torch import nn

from hqsearch.errors import DefinitionError, UnknownName
from hqsearch.models.adapters.facts import NeuronFacts, Output, Reset, number, reset_to

#: Where a module that a study declares keeps its declaration.
MARK: Final = "hqsearch_neuron"
#: Methods without arguments that hand-written neurons are reset by; the first one there is.
RESETTERS: Final = ("reset_state", "reset_states", "reset", "reset_mem", "init_state")
_PRIVATE: Final = "hqsearch_plugin_"


class Declared:
    """One entry of ``[model] neurons``.

    Args:
        cls: ``pkg.Class``, ``file.Class`` or ``Class``.
        tau, threshold, reset, output: see :class:`NeuronFacts`; None is read from the module.
    """

    def __init__(
        self,
        cls: str,
        tau: float | None = None,
        threshold: float | None = None,
        reset: Reset | None = None,
        output: Output | None = None,
    ) -> None:
        self.cls, self.tau, self.threshold = cls, tau, threshold
        self.reset, self.output = reset, output

    def means(self, kind: type) -> bool:
        """Whether ``kind`` or a class that it derives from is called so."""
        return any(
            self.cls == name or name.endswith(f".{self.cls}")
            for base in kind.mro()
            for name in [class_name(base)]
        )

    def facts(self, module: nn.Module) -> NeuronFacts:
        """What the declaration says, and what the module's attributes say where it does not."""
        reset: Reset = self.reset or "unknown"
        if self.reset is None and hasattr(module, "v_reset"):
            reset = reset_to(module.v_reset)
        output: Output = self.output or "measured"
        return NeuronFacts(
            source="[model] neurons",
            tau=self.tau if self.tau is not None else _read(module, "tau"),
            threshold=(
                self.threshold
                if self.threshold is not None
                else _read(module, "threshold", "v_threshold", "v_th")
            ),
            reset=reset,
            output=output,
            levels=1 if output == "binary" else None,
            unit=number(getattr(module, "unit", 1.0)) or 1.0,
            # Whoever says that it resets to 0 and emits 0 or 1 says that it is one that fires
            # as before when input and threshold are scaled alike.
            scales=self.reset == "zero" and self.output == "binary",
        )


def declare(model: nn.Module, entries: Sequence[Declared]) -> None:
    """Mark every module of ``model`` that an entry means.

    Raises:
        UnknownName: an entry that means no module, with the nearest class of the network.
        DefinitionError: two entries that mean one class.
    """
    modules = [m for m in model.modules() if m is not model]
    met: set[int] = set()
    for module in modules:
        mine = [i for i, entry in enumerate(entries) if entry.means(type(module))]
        if len(mine) > 1:
            both = " and ".join(repr(entries[i].cls) for i in mine)
            raise DefinitionError(
                f"[model] neurons: {both} both mean {class_name(type(module))}; keep one of them"
            )
        for index in mine:
            setattr(module, MARK, entries[index])
            met.add(index)
    for index, entry in enumerate(entries):
        if index not in met:
            # As many parts of the name as were given, so that a near one is found near.
            parts = entry.cls.count(".") + 1
            known = {".".join(class_name(type(m)).split(".")[-parts:]) for m in modules}
            raise UnknownName("neuron class", entry.cls, known, "[model] neurons")


def facts(module: nn.Module) -> NeuronFacts | None:
    """What a study declares of a module; None where it declares nothing."""
    entry: Any = getattr(module, MARK, None)
    return entry.facts(module) if isinstance(entry, Declared) else None


def clear(module: nn.Module) -> bool:
    """Call the first of :data:`RESETTERS` that a declared neuron has; False where it has none."""
    if not isinstance(getattr(module, MARK, None), Declared):
        return False
    for name in RESETTERS:
        method = getattr(module, name, None)
        if callable(method):
            method()
            return True
    return False


def class_name(kind: type) -> str:
    """``module.Class``; a user's file is called as it is, not by the name it is loaded under.

    >>> class_name(nn.ReLU)
    'torch.nn.modules.activation.ReLU'
    """
    module = kind.__module__
    if module.startswith(_PRIVATE):
        module = module.partition(".")[2]
    return f"{module}.{kind.__qualname__}"


def _read(module: nn.Module, *names: str) -> float | None:
    return next((v for n in names if (v := number(getattr(module, n, None))) is not None), None)

"""A trained, quantized network as integers and bytes: in a file, as numbers, as C.

Where it starts::

    layers = quantized_layers(net, workload)      # packed_layers: path -> StoredLayer (torch)
    packed = pack_network(net, workload, about)   # packed_model: layers, loose state, about
    write_packed(packed, path)                    # packed_file: needs no torch; so do
    packed = read_packed(path)                    #   read_packed and sizes_of
    net = rebuild(packed)                         # packed_model: a torch module again

``net`` has fake quantizers on its layers (:func:`hqsearch.quant.quantize_model`); ``workload`` is
:func:`hqsearch.hardware.trace.trace_workload` of it or of its fp32 parent. Both ways, from a
network and from a file, every weight layer is the same :class:`~hqsearch.export.layers.StoredLayer`
with the same numbers: ``codes`` (``int8``; ``levels_of`` gives the integers that are summed),
``threshold`` and ``bias`` as 32-bit integers with a shift (:mod:`hqsearch.export.bits`) where a
neuron takes them in, and float scales, multipliers and biases elsewhere. ``PackedModel.graph`` is
a place for how layers are connected: JSON values with a version of their own; None so far.

How codes become bytes is said by :mod:`hqsearch.schemes.packing`: code number i of a tensor in C
order takes the bits i·b … (i + 1)·b - 1 of a little-endian stream, lowest bit first, in two's
complement; the last byte is filled up with zeros (:func:`hqsearch.schemes.packing.whole_bytes`,
which :mod:`hqsearch.hardware.storage` counts by).
"""

import sys as _sys
from pathlib import Path as _Path
from types import ModuleType as _ModuleType
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

if _TYPE_CHECKING:
    from hqsearch.export.formats import Exported


class _Callable(_ModuleType):
    """``hqsearch.export`` is a package and, as ``hqsearch.export(net, "edge.hq")``, a function."""

    def __call__(self, model: _Any, path: str | _Path, format: str = "hq") -> "Exported":
        """Write a trained model to a file.

        Args:
            model: what :meth:`hqsearch.Study.train` or :func:`hqsearch.load_model` returned.
            path: where to.
            format: ``hq``: one packed file, whose tensors take exactly the reported storage.

        Raises:
            InputError: bad usage, an unknown format, or a path that cannot be written to.
        """
        from hqsearch.export.formats import export_model

        return export_model(model, path, format)


_sys.modules[__name__].__class__ = _Callable

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

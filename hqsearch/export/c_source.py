"""A network of integers as C99: ``hq_model.h``, ``hq_model.c`` and the runtime.

The folder needs a C compiler and nothing else: ``cc -O3 -o classify *.c`` and
``./classify sample.bin``. The same logits come out as of :mod:`hqsearch.export.integer`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hqsearch.atomic import write_atomically
from hqsearch.errors import ExportError
from hqsearch.export.c_plan import EVENT_BYTES, Plan, plan_memory
from hqsearch.export.graph import (
    Add,
    Layer,
    Logits,
    Neuron,
    Node,
    Pool,
    Product,
    Rescale,
    SpaceSum,
    TimeSum,
    Window,
)
from hqsearch.export.network import IntegerNetwork
from hqsearch.export.weights import codes_of, table, uses_shifts
from hqsearch.schemes.choice import Choice, parse_choice
from hqsearch.schemes.packing import pack_codes

RUNTIME: Final = ("hq_runtime.h", "hq_runtime.c", "main.c")


@dataclass(frozen=True)
class CSource:
    """The files of an export, by name, and what they need.

    weights, constants: bytes of codes and fp32 weights, and of everything else that is constant.
    ram: bytes of memory that is written to, without the stack.
    """

    files: dict[str, str]
    weights: int
    constants: int
    ram: int

    def write(self, folder: Path) -> None:
        """Write every file; the folder is made if it is not there."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in self.files.items():
            write_atomically(folder / name, text)


def c_source(network: IntegerNetwork, title: str = "a network of hqsearch") -> CSource:
    """Write a network as C.

    Args:
        network: the network.
        title: one line for the head of the files.

    Raises:
        ExportError: sizes that the runtime's counters do not hold.
    """
    writer = _Writer(network, title.replace("*/", "* /").replace("\n", " "))
    runtime = resources.files("hqsearch.export") / "runtime"
    files = {name: (runtime / name).read_text(encoding="utf-8") for name in RUNTIME}
    files |= {"hq_model.h": writer.header(), "hq_model.c": writer.model()}
    return CSource(files, writer.weight_bytes, writer.constant_bytes, writer.plan.ram)


class _Writer:
    """Writes one model; arrays and functions are collected as they are needed."""

    def __init__(self, network: IntegerNetwork, title: str) -> None:
        self.network, self.graph, self.title = network, network.graph, title
        self.plan: Plan = plan_memory(self.graph)
        self.weight_bytes = self.constant_bytes = 0
        self._arrays: list[str] = []
        self._tables: dict[tuple[str, str], str] = {}
        self._layers: dict[tuple[str, bool], str] = {}
        self.paths = list(dict.fromkeys(node.path for node in self.graph.nodes))
        every, once = self.graph.split()
        self._every = [self._call(node) for node in every]
        self._once = [self._call(node) for node in once]

    def header(self) -> str:
        """``hq_model.h``."""
        graph, plan = self.graph, self.plan
        frame, last = graph.values[0], graph.nodes[-1]
        assert isinstance(last, Logits)
        sides = " x ".join(map(str, frame.shape))
        membranes = 4 * plan.membranes32 + 8 * plan.membranes64
        return f"""/* {self.title}
 *
 * A sample is {graph.timesteps} frames of {sides} bytes, each from 0 to {frame.levels}.
 * hq_run takes a whole sample; or hq_reset, {graph.timesteps} times hq_step, hq_end.
 * Nothing is allocated; {plan.ram} bytes of memory are written to, the stack aside:
 * {plan.scratch} for values, {membranes} for membranes, {plan.time_sums} for sums over time,
 * {EVENT_BYTES * plan.events + 4 * plan.row} for a layer at work.
 */
#ifndef HQ_MODEL_H
#define HQ_MODEL_H

#include <stdint.h>

#include "hq_runtime.h"

#define HQ_TIMESTEPS {graph.timesteps}
#define HQ_FRAME {frame.size} /* bytes, one channel after the other */
#define HQ_LARGEST_INPUT {frame.levels}
#define HQ_CLASSES {graph.classes}
#define HQ_LOGIT_SHIFT {last.shift} /* logits are in units of 2^-{last.shift} */
#define HQ_RAM {plan.ram}

/* Forget everything of earlier samples. */
void hq_reset(void);
/* One timestep; 1 if the frame holds a value that is too large, and then nothing was done. */
int hq_step(const uint8_t *frame);
/* The logits, after the last step. */
void hq_end(int64_t *logits);
/* All of these; 1 as hq_step. */
int hq_run(const uint8_t *frames, int64_t *logits);
/* The first of the largest logits. */
int hq_class(const int64_t *logits);

#ifdef HQ_COUNT
#define HQ_OPERATIONS {len(self.paths)}
extern hq_count hq_counts[HQ_OPERATIONS];
extern const char *const hq_paths[HQ_OPERATIONS];
#endif

#endif
"""

    def model(self) -> str:
        """``hq_model.c``."""
        plan, size = self.plan, self.graph.values[0].size
        state = [("int32_t", "hq_scratch", plan.scratch // 4)]
        state += [("int32_t", "hq_sums", plan.time_sums // 4)] if plan.time_sums else []
        state += [("int32_t", "hq_membranes32", plan.membranes32)] if plan.membranes32 else []
        state += [("int64_t", "hq_membranes64", plan.membranes64)] if plan.membranes64 else []
        cleared = [name for _, name, _ in state[1:]]
        lines = [
            f"/* {self.title} */",
            '#include "hq_model.h"\n',
            "#include <string.h>\n",
            *self._arrays,
            *(f"static {kind} {name}[{count}];" for kind, name, count in state),
            f"static hq_event hq_events[{plan.events}];",
            f"static int32_t hq_row[{plan.row}];\n",
            "#ifdef HQ_COUNT",
            "hq_count hq_counts[HQ_OPERATIONS];",
            "const char *const hq_paths[HQ_OPERATIONS] = {",
            *(f'    "{path}",' for path in self.paths),
            "};",
            "#define HQ_AT(number) (hq_here = &hq_counts[number])",
            "#else",
            "#define HQ_AT(number) ((void)0)",
            "#endif\n",
            "void hq_reset(void) {",
            *(f"  memset({name}, 0, sizeof {name});" for name in cleared),
            "}\n",
            "int hq_step(const uint8_t *frame) {",
            "  uint32_t i;",
            "#if HQ_LARGEST_INPUT < 255",
            f"  for (i = 0; i < {size}; i++)",
            "    if (frame[i] > HQ_LARGEST_INPUT) return 1;",
            "#else",
            "  (void)i;",
            "#endif",
            f"  {self._turn()}",
            *(f"  {line}" for line in self._every),
            "  return 0;",
            "}\n",
            "void hq_end(int64_t *logits) {",
            *(f"  {line}" for line in self._once),
            "}\n",
            "int hq_run(const uint8_t *frames, int64_t *logits) {",
            "  int step;",
            "  hq_reset();",
            "  for (step = 0; step < HQ_TIMESTEPS; step++)",
            "    if (hq_step(frames + (uint32_t)step * HQ_FRAME)) return 1;",
            "  hq_end(logits);",
            "  return 0;",
            "}\n",
            "int hq_class(const int64_t *logits) {",
            "  int i, best = 0;",
            "  for (i = 1; i < HQ_CLASSES; i++)",
            "    if (logits[i] > logits[best]) best = i;",
            "  return best;",
            "}",
        ]
        return "\n".join(lines) + "\n"

    def _turn(self) -> str:
        frame = self.graph.values[0]
        return f"hq_turn_frame(frame, {frame.channels}, {frame.positions}, {self._memory(0)});"

    def _memory(self, value: int) -> str:
        """A value's memory, as a pointer of its type."""
        if value in self.plan.sums:
            return f"hq_sums + {self.plan.sums[value]}"
        place = f"hq_scratch + {self.plan.places[value] // 4}"
        return place if self.plan.wide[value] else f"(uint8_t *)({place})"

    def _read(self, value: int) -> str:
        return f"(hq_value){{{self._memory(value)}, {int(self.plan.wide[value])}}}"

    def _call(self, node: Node) -> str:
        """The statements that run a node."""
        values, at = self.graph.values, f"HQ_AT({self.paths.index(node.path)});"
        read, out = [self._read(number) for number in node.inputs], ""
        shape, wide = values[node.output], int(self.plan.wide[node.output])
        if not isinstance(node, Logits):
            out = self._memory(node.output)
        if isinstance(node, Layer):
            name = self._layer(node)
            run = f"hq_run_layer(&{name}, {read[0]}, {out}, hq_events, hq_row);"
        elif isinstance(node, Neuron) and node.counts:
            kept = {node.bits: self._membranes(node)} if node.keeps else {}
            both = ", ".join(kept.get(width, "0") for width in (32, 64))
            run = f"hq_run_counting_neuron(&{self._neuron(node)}, {read[0]}, {both}, {out});"
        elif isinstance(node, Neuron):
            name, membranes = self._neuron(node), self._membranes(node)
            run = f"hq_run_neuron{node.bits}(&{name}, {read[0]}, {membranes}, {out});"
        elif isinstance(node, Rescale):
            run = f"hq_run_rescale(&{self._rescale(node)}, {read[0]}, {out});"
        elif isinstance(node, Add):
            run = f"hq_run_add({read[0]}, {read[1]}, {out}, {wide}, {shape.size});"
        elif isinstance(node, Pool):
            run = f"hq_run_pool(&{self._pool(node)}, {read[0]}, {out}, {wide});"
        elif isinstance(node, Product):
            run = f"hq_run_product(&{self._product(node)}, {read[0]}, {read[1]}, {out});"
        elif isinstance(node, SpaceSum):
            x = values[node.inputs[0]]
            run = f"hq_run_space_sum({read[0]}, {x.positions}, {x.channels}, {out});"
        elif isinstance(node, TimeSum):
            run = f"hq_run_time_sum({read[0]}, {shape.size}, {out});"
        else:
            assert isinstance(node, Logits)
            factors, offsets = (self._ints(p) for p in self.network.constants[node.output])
            shift = node.offset_shift
            run = f"hq_run_logits({read[0]}, {factors}, {offsets}, {shift}, HQ_CLASSES, logits);"
        return f"{at} {run} /* {node.path} */".replace(" /* logits */", "")

    def _layer(self, node: Layer) -> str:
        x, y = self.graph.values[node.inputs[0]], self.graph.values[node.output]
        outputs, inputs, *kernel = node.weights
        taps, groups = int(np.prod(kernel)), node.groups
        weights = self.network.weights[node.layer]
        if node.flat:
            # Read as it lies: all channels of a position together.
            rows = weights.reshape(outputs, x.channels, x.positions).T.reshape(-1)
        else:
            split = weights.reshape(groups, outputs // groups, inputs, taps)
            rows = split.transpose(0, 2, 3, 1).reshape(-1)
        key = (node.layer, node.flat)
        choice = parse_choice(node.choice)
        if key not in self._layers:
            self._layers[key] = self._codes(rows, choice)
        spikes = x.levels == 1 and not x.signed
        shifts = uses_shifts(node.choice)
        arithmetic = "HQ_SPIKES" if spikes else "HQ_SHIFT" if shifts else "HQ_MULTIPLY"
        levels = self._levels(node.choice, exponents=shifts and not spikes)
        sides = node.read, _rows(y.shape)
        sizes = [groups, inputs, outputs // groups, *sides[0], *sides[1]]
        if max(*sides[0], *sides[1]) >= 2**16 or weights.size * choice.bits >= 2**32:
            raise ExportError(f"{node.layer!r} is larger than the C runtime counts.")
        name = f"layer{node.output}"
        self._declare(
            f"static const hq_layer {name} = {{{self._layers[key]}, {levels}, {choice.bits}, "
            f"{arithmetic}, {_window(node.window)}, {', '.join(map(str, sizes))}}};"
        )
        return name

    def _codes(self, weights: npt.NDArray[Any], choice: Choice) -> str:
        name = f"codes{len(self._layers)}"
        if not choice.scheme.has_codes:
            self.weight_bytes += 4 * weights.size
            self._declare(_array("int32_t", name, weights.tolist()))
            return name
        packed = pack_codes(
            codes_of(weights, choice), choice.bits, *choice.scheme.code_range(choice.bits)
        )
        self.weight_bytes += len(packed)
        self._declare(_array("uint8_t", name, packed))
        return name

    def _levels(self, text: str, *, exponents: bool) -> str:
        """A table from codes to integers, or to signed exponents; 0 where codes are just that."""
        choice = parse_choice(text)
        if not choice.scheme.has_codes:
            return "0"
        low, wide = table(choice)
        codes = np.arange(low, low + len(wide))
        meant = np.sign(wide) * np.frexp(np.abs(wide))[1] if exponents else wide
        if low < 0 and np.array_equal(meant, codes):
            return "0"
        key = (text, "exponents" if exponents else "integers")
        if key not in self._tables:
            every = np.zeros(2**choice.bits, np.int64)
            every[codes % 2**choice.bits] = meant
            self._tables[key] = self._ints(every)
        return self._tables[key]

    def _ints(self, numbers: npt.NDArray[Any]) -> str:
        name = f"constants{len(self._arrays)}"
        self.constant_bytes += 4 * numbers.size
        self._declare(_array("int32_t", name, numbers.tolist()))
        return name

    def _membranes(self, node: Neuron) -> str:
        return f"hq_membranes{node.bits} + {self.plan.membranes[node.output]}"

    def _constants(self, node: Node) -> str:
        """Both constants of a node, and for each whether there is one for every channel."""
        parts = self.network.constants[node.output]
        names = ", ".join(self._ints(part) for part in parts)
        each = ", ".join(str(int(part.size > 1)) for part in parts)
        return f"{names}, {each}"

    def _rescale(self, node: Rescale) -> str:
        value, name = self.graph.values[node.output], f"rescale{node.output}"
        self._declare(
            f"static const hq_rescale {name} = {{{self._constants(node)}, {node.shift}, "
            f"{node.offset_shift}, {value.positions}, {value.channels}}};"
        )
        return name

    def _neuron(self, node: Neuron) -> str:
        value, point = self.graph.values[node.output], node.leak * self.graph.timesteps
        shifts = (
            node.leak,
            point + node.fraction - node.leak,
            point - node.leak + node.bias_shift,
            node.threshold_shift,
        )
        name = f"neuron{node.output}"
        self._declare(
            f"static const hq_neuron {name} = {{{self._constants(node)}, "
            f"{', '.join(map(str, shifts))}, {value.positions}, {value.channels}, {node.levels}, "
            f"{node.rest}}};"
        )
        return name

    def _pool(self, node: Pool) -> str:
        x, y = (self.graph.values[number] for number in (node.inputs[0], node.output))
        sizes = (x.channels, *node.read, *_rows(y.shape))
        name = f"pool{node.output}"
        self._declare(
            f"static const hq_pool {name} = {{{_window(node.window)}, {int(node.largest)}, "
            f"{', '.join(map(str, sizes))}}};"
        )
        return name

    def _product(self, node: Product) -> str:
        gate = self.graph.values[node.inputs[node.gate]]
        parts = (node.left, node.right, node.out)
        strides = ", ".join(_braced(part) for part in parts)
        name = f"product{node.output}"
        size = self.graph.values[node.output].size
        self._declare(
            f"static const hq_product {name} = {{{', '.join(map(str, node.sizes))}, {strides}, "
            f"{node.gate}, {int(gate.levels == 1)}, {size}}};"
        )
        return name

    def _declare(self, text: str) -> None:
        self._arrays.append(text)


def _rows(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of a value."""
    rows, columns = (1, 1, *shape[1:])[-2:]
    return rows, columns


def _braced(numbers: Iterable[int]) -> str:
    return "{" + ", ".join(map(str, numbers)) + "}"


def _window(window: Window) -> str:
    parts = (window.kernel, window.stride, window.padding, window.dilation)
    return ", ".join(_braced(part) for part in parts)


def _array(kind: str, name: str, numbers: Iterable[int]) -> str:
    texts = [str(number) for number in numbers]
    rows = [", ".join(texts[i : i + 24]) for i in range(0, len(texts), 24)]
    return f"static const {kind} {name}[{len(texts)}] = {{\n  " + ",\n  ".join(rows) + "};"

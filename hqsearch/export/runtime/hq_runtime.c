/* See hq_runtime.h. */
#include "hq_runtime.h"

#include <string.h>

typedef char hq_shifts_are_arithmetic[(-5 >> 1) == -3 ? 1 : -1];

#ifdef HQ_COUNT
hq_count *hq_here;
#endif

static int32_t element(hq_value x, uint32_t index) {
  return x.wide ? ((const int32_t *)x.data)[index] : ((const uint8_t *)x.data)[index];
}

/* Shifted to the left, which C leaves undefined for negative numbers. */
static int32_t left32(int32_t x, unsigned by) { return (int32_t)((uint32_t)x << by); }
static int64_t left64(int64_t x, unsigned by) { return (int64_t)((uint64_t)x << by); }

static void store(void *out, int wide, uint32_t index, int32_t x) {
  if (wide)
    ((int32_t *)out)[index] = x;
  else
    ((uint8_t *)out)[index] = (uint8_t)x;
}

/* `count` codes from number `first` on. */
static void read_codes(const hq_layer *layer, uint32_t first, uint32_t count, int32_t *row) {
  const unsigned bits = layer->bits;
  const int32_t sign = (int32_t)1 << (bits - 1);
  const uint32_t mask = ((uint32_t)1 << bits) - 1;
  const uint32_t start = first * bits;
  const uint8_t *byte = (const uint8_t *)layer->codes + (start >> 3);
  const int32_t *levels = layer->levels;
  uint32_t i = 0, held = 0;
  unsigned have = 0;
  if ((start & 7) == 0 && bits == 4 && levels == 0)
    for (; i + 2 <= count; i += 2, byte++) {
      row[i] = ((*byte & 15) ^ 8) - 8;
      row[i + 1] = ((*byte >> 4) ^ 8) - 8;
    }
  else if ((start & 7) == 0 && bits == 2 && levels == 0)
    for (; i + 4 <= count; i += 4, byte++) {
      row[i] = ((*byte & 3) ^ 2) - 2;
      row[i + 1] = (((*byte >> 2) & 3) ^ 2) - 2;
      row[i + 2] = (((*byte >> 4) & 3) ^ 2) - 2;
      row[i + 3] = ((*byte >> 6) ^ 2) - 2;
    }
  if (i < count && (start & 7) != 0 && i == 0) {
    held = (uint32_t)(*byte++ >> (start & 7));
    have = 8 - (start & 7);
  }
  for (; i < count; i++) {
    uint32_t code;
    while (have < bits) {
      held |= (uint32_t)*byte++ << have;
      have += 8;
    }
    code = held & mask;
    held >>= bits;
    have -= bits;
    row[i] = levels ? levels[code] : ((int32_t)code ^ sign) - sign;
  }
}

static const int32_t *weights(const hq_layer *layer, uint32_t number, int32_t *row) {
  const uint32_t count = layer->outputs;
  HQ_COUNTED(fetches, count);
  if (layer->bits == 32) return (const int32_t *)layer->codes + number * count;
  read_codes(layer, number * count, count, row);
  return row;
}

/* The three ways of adding a row of weights to sums. */
static void add_spike(int32_t *restrict sums, const int32_t *restrict row, uint32_t count) {
  uint32_t i;
  for (i = 0; i < count; i++) sums[i] += row[i];
}

static void add_multiplied(int32_t *restrict sums, const int32_t *restrict row, uint32_t count,
                           int32_t x) {
  uint32_t i;
  for (i = 0; i < count; i++) sums[i] += row[i] * x;
}

static void add_shifted(int32_t *restrict sums, const int32_t *restrict row, uint32_t count,
                        int32_t x) {
  uint32_t i;
  for (i = 0; i < count; i++) {
    if (row[i] > 0)
      sums[i] += left32(x, (unsigned)(row[i] - 1));
    else if (row[i] < 0)
      sums[i] -= left32(x, (unsigned)(-row[i] - 1));
  }
}

/* Whether a tap of a window reads input `place`, and for which output. */
static int output_of(uint32_t place, uint32_t tap, const uint16_t *stride, const uint16_t *padding,
                     const uint16_t *dilation, uint32_t outputs, int axis, uint32_t *output) {
  const int32_t first = (int32_t)(place + padding[axis]) - (int32_t)(tap * dilation[axis]);
  uint32_t number = (uint32_t)first;
  if (first < 0) return 0;
  if (stride[axis] > 1) {
    if (number % stride[axis]) return 0;
    number /= stride[axis];
  }
  *output = number;
  return number < outputs;
}

void hq_run_layer(const hq_layer *l, hq_value x, int32_t *sums, hq_event *events, int32_t *row) {
  const uint32_t channels = l->groups * l->inputs, width = l->groups * l->outputs;
  const uint32_t taps = (uint32_t)l->kernel[0] * l->kernel[1];
  uint32_t channel, tap, e;
  memset(sums, 0, sizeof *sums * width * l->out_rows * l->out_columns);
  for (channel = 0; channel < channels; channel++) {
    int32_t *const group = sums + channel / l->inputs * l->outputs;
    uint32_t index = channel, count = 0, r, c;
    for (r = 0; r < l->rows; r++)
      for (c = 0; c < l->columns; c++, index += channels) {
        const int32_t value = element(x, index);
        if (value == 0) continue;
        events[count].row = (uint16_t)r;
        events[count].column = (uint16_t)c;
        events[count++].value = value;
      }
    if (count == 0) continue;
    for (tap = 0; tap < taps; tap++) {
      const int32_t *w = 0;
      for (e = 0; e < count; e++) {
        uint32_t to_row, to_column;
        int32_t *to;
        if (!output_of(events[e].row, tap / l->kernel[1], l->stride, l->padding, l->dilation,
                       l->out_rows, 0, &to_row) ||
            !output_of(events[e].column, tap % l->kernel[1], l->stride, l->padding, l->dilation,
                       l->out_columns, 1, &to_column))
          continue;
        if (w == 0) w = weights(l, channel * taps + tap, row);
        to = group + (to_row * l->out_columns + to_column) * width;
        HQ_COUNTED(accumulations, l->outputs);
        if (l->arithmetic == HQ_SPIKES) {
          add_spike(to, w, l->outputs);
        } else if (l->arithmetic == HQ_MULTIPLY) {
          HQ_COUNTED(multiplications, l->outputs);
          add_multiplied(to, w, l->outputs, events[e].value);
        } else {
          HQ_COUNTED(shifts, l->outputs);
          add_shifted(to, w, l->outputs, events[e].value);
        }
      }
    }
  }
}

void hq_run_neuron32(const hq_neuron *n, hq_value x, int32_t *membranes, uint8_t *spikes) {
  uint32_t position, channel, i = 0;
  for (position = 0; position < n->positions; position++)
    for (channel = 0; channel < n->channels; channel++, i++) {
      const int32_t threshold = n->thresholds[n->each_threshold ? channel : 0];
      const int32_t bias = n->biases[n->each_bias ? channel : 0];
      int32_t m = membranes[i];
      int fired;
      m -= m >> n->leak;
      m += left32(element(x, i), n->sum_shift) + left32(bias, n->bias_shift);
      fired = threshold < 0 ? m <= threshold : m >= threshold;
      membranes[i] = fired ? 0 : m;
      spikes[i] = (uint8_t)fired;
      HQ_COUNTED(updates, 1);
    }
}

void hq_run_neuron64(const hq_neuron *n, hq_value x, int64_t *membranes, uint8_t *spikes) {
  uint32_t position, channel, i = 0;
  for (position = 0; position < n->positions; position++)
    for (channel = 0; channel < n->channels; channel++, i++) {
      const int64_t threshold =
          left64(n->thresholds[n->each_threshold ? channel : 0], n->threshold_shift);
      const int64_t bias = n->biases[n->each_bias ? channel : 0];
      int64_t m = membranes[i];
      int fired;
      m -= m >> n->leak;
      m += left64(element(x, i), n->sum_shift) + left64(bias, n->bias_shift);
      fired = threshold < 0 ? m <= threshold : m >= threshold;
      membranes[i] = fired ? 0 : m;
      spikes[i] = (uint8_t)fired;
      HQ_COUNTED(updates, 1);
    }
}

void hq_run_pool(const hq_pool *p, hq_value x, void *out, int wide) {
  uint32_t r, c, channel, tap;
  const uint32_t taps = (uint32_t)p->kernel[0] * p->kernel[1];
  uint32_t index = 0;
  for (r = 0; r < p->out_rows; r++)
    for (c = 0; c < p->out_columns; c++)
      for (channel = 0; channel < p->channels; channel++, index++) {
        int32_t result = 0;
        for (tap = 0; tap < taps; tap++) {
          const int32_t row = (int32_t)(r * p->stride[0] + tap / p->kernel[1] * p->dilation[0]) -
                              (int32_t)p->padding[0];
          const int32_t column = (int32_t)(c * p->stride[1] + tap % p->kernel[1] * p->dilation[1]) -
                                 (int32_t)p->padding[1];
          int32_t value;
          if (row < 0 || column < 0 || (uint32_t)row >= p->rows || (uint32_t)column >= p->columns)
            continue;
          value = element(x, ((uint32_t)row * p->columns + (uint32_t)column) * p->channels + channel);
          HQ_COUNTED(others, 1);
          if (!p->largest)
            result += value;
          else if (value > result)
            result = value;
        }
        store(out, wide, index, result);
      }
}

void hq_run_product(const hq_product *p, hq_value left, hq_value right, int32_t *out) {
  const hq_value gate = p->gate ? right : left, other = p->gate ? left : right;
  const uint32_t *const g = p->gate ? p->right : p->left, *const o = p->gate ? p->left : p->right;
  /* Along the gate's own axis, and along that of the other operand. */
  const uint32_t own = p->gate ? p->columns : p->rows, others = p->gate ? p->rows : p->columns;
  const uint32_t own_gate = p->gate ? g[2] : g[1], depth_gate = p->gate ? g[1] : g[2];
  const uint32_t depth_other = p->gate ? o[2] : o[1], own_other = p->gate ? o[1] : o[2];
  const uint32_t own_out = p->gate ? p->out[2] : p->out[1];
  const uint32_t other_out = p->gate ? p->out[1] : p->out[2];
  uint32_t h, i, d, j;
  memset(out, 0, sizeof *out * p->size);
  for (h = 0; h < p->heads; h++)
    for (i = 0; i < own; i++)
      for (d = 0; d < p->depth; d++) {
        const int32_t value = element(gate, h * g[0] + i * own_gate + d * depth_gate);
        const uint32_t from = h * o[0] + d * depth_other, to = h * p->out[0] + i * own_out;
        if (value == 0) continue;
        HQ_COUNTED(accumulations, others);
        if (p->spikes) {
          for (j = 0; j < others; j++)
            out[to + j * other_out] += element(other, from + j * own_other);
        } else {
          HQ_COUNTED(multiplications, others);
          for (j = 0; j < others; j++)
            out[to + j * other_out] += element(other, from + j * own_other) * value;
        }
      }
}

void hq_run_add(hq_value left, hq_value right, void *out, int wide, uint32_t size) {
  uint32_t i;
  for (i = 0; i < size; i++) store(out, wide, i, element(left, i) + element(right, i));
  HQ_COUNTED(others, size);
}

void hq_run_space_sum(hq_value x, uint32_t positions, uint32_t channels, int32_t *out) {
  uint32_t position, channel;
  memset(out, 0, sizeof *out * channels);
  for (position = 0; position < positions; position++)
    for (channel = 0; channel < channels; channel++)
      out[channel] += element(x, position * channels + channel);
  HQ_COUNTED(others, positions * channels);
}

void hq_run_time_sum(hq_value x, uint32_t size, int32_t *out) {
  uint32_t i;
  for (i = 0; i < size; i++) out[i] += element(x, i);
  HQ_COUNTED(others, size);
}

void hq_run_logits(hq_value x, const int32_t *factors, const int32_t *offsets, unsigned shift,
                   uint32_t classes, int64_t *logits) {
  uint32_t i;
  for (i = 0; i < classes; i++) logits[i] = (int64_t)element(x, i) * factors[i] + left64(offsets[i], shift);
  HQ_COUNTED(multiplications, classes);
}

void hq_turn_frame(const uint8_t *frame, uint32_t channels, uint32_t positions, uint8_t *out) {
  uint32_t channel, position;
  for (channel = 0; channel < channels; channel++)
    for (position = 0; position < positions; position++)
      out[position * channels + channel] = *frame++;
}

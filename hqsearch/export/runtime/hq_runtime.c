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

/* `count` codes from number `first` on, as they lie there: without a sign. */
static void read_codes(const uint8_t *codes, unsigned bits, uint32_t first, uint32_t count,
                       int32_t *row) {
  const uint32_t mask = ((uint32_t)1 << bits) - 1, start = first * bits;
  const uint8_t *byte = codes + (start >> 3);
  uint32_t i = 0, held = 0;
  unsigned have = 0;
  if ((start & 7) != 0) {
    held = (uint32_t)(*byte++ >> (start & 7));
    have = 8 - (start & 7);
  } else if (bits == 4) {
    for (; i + 2 <= count; i += 2, byte++) {
      row[i] = *byte & 15;
      row[i + 1] = *byte >> 4;
    }
  } else if (bits == 2) {
    for (; i + 4 <= count; i += 4, byte++) {
      row[i] = *byte & 3;
      row[i + 1] = (*byte >> 2) & 3;
      row[i + 2] = (*byte >> 4) & 3;
      row[i + 3] = *byte >> 6;
    }
  }
  for (; i < count; i++) {
    while (have < bits) {
      held |= (uint32_t)*byte++ << have;
      have += 8;
    }
    row[i] = (int32_t)(held & mask);
    held >>= bits;
    have -= bits;
  }
}

/* What input and tap `number` add to all outputs of their group. */
static const int32_t *weights(const hq_layer *layer, uint32_t number, int32_t *row) {
  const uint32_t count = layer->outputs;
  const int32_t *const levels = layer->levels;
  uint32_t i;
  HQ_COUNTED(fetches, count);
  if (layer->bits == 32) return (const int32_t *)layer->codes + number * count;
  read_codes((const uint8_t *)layer->codes, layer->bits, number * count, count, row);
  if (levels == 0) {
    const int32_t sign = (int32_t)1 << (layer->bits - 1);
    for (i = 0; i < count; i++) row[i] = (row[i] ^ sign) - sign;
  } else {
    for (i = 0; i < count; i++) row[i] = levels[row[i]];
  }
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

/* Without branches: an exponent of 0 stands for no weight, and its sum is masked. */
static void add_shifted(int32_t *restrict sums, const int32_t *restrict row, uint32_t count,
                        int32_t x) {
  uint32_t i;
  for (i = 0; i < count; i++) {
    const uint32_t negative = row[i] < 0 ? ~(uint32_t)0 : 0, there = row[i] ? ~(uint32_t)0 : 0;
    const uint32_t by = (((uint32_t)row[i] ^ negative) - negative - 1) & 31;
    const uint32_t term = ((uint32_t)x << by) & there;
    sums[i] += (int32_t)((term ^ negative) - negative);
  }
}

/* For which output a tap that lies `tap` positions into a window reads input `place`; or none. */
static int output_of(uint32_t place, uint32_t tap, uint32_t stride, uint32_t padding,
                     uint32_t outputs, uint32_t *output) {
  uint32_t number = place + padding;
  if (number < tap) return 0;
  number -= tap;
  if (stride > 1) {
    if (number % stride) return 0;
    number /= stride;
  }
  *output = number;
  return number < outputs;
}

static void add_row(const hq_layer *l, int32_t *sums, const int32_t *row, int32_t x) {
  HQ_COUNTED(accumulations, l->outputs);
  if (l->arithmetic == HQ_SPIKES) {
    add_spike(sums, row, l->outputs);
  } else if (l->arithmetic == HQ_MULTIPLY) {
    HQ_COUNTED(multiplications, l->outputs);
    add_multiplied(sums, row, l->outputs, x);
  } else {
    HQ_COUNTED(shifts, l->outputs);
    add_shifted(sums, row, l->outputs, x);
  }
}

/* The inputs of one channel that are not zero. */
static uint32_t find_events(const hq_layer *l, hq_value x, uint32_t channel, hq_event *events) {
  const uint32_t channels = l->groups * l->inputs;
  uint32_t index = channel, count = 0, r, c;
  for (r = 0; r < l->rows; r++)
    for (c = 0; c < l->columns; c++, index += channels) {
      const int32_t value = element(x, index);
      if (value == 0) continue;
      events[count].row = (uint16_t)r;
      events[count].column = (uint16_t)c;
      events[count++].value = value;
    }
  return count;
}

void hq_run_layer(const hq_layer *l, hq_value x, int32_t *sums, hq_event *events, int32_t *row) {
  const uint32_t channels = l->groups * l->inputs, width = l->groups * l->outputs;
  uint32_t channel, down, along, e, number = 0;
  memset(sums, 0, sizeof *sums * width * l->out_rows * l->out_columns);
  for (channel = 0; channel < channels; channel++) {
    int32_t *const group = sums + channel / l->inputs * l->outputs;
    const uint32_t count = find_events(l, x, channel, events);
    for (down = 0; down < l->kernel[0]; down++)
      for (along = 0; along < l->kernel[1]; along++, number++) {
        const uint32_t tap_row = down * l->dilation[0], tap_column = along * l->dilation[1];
        const int32_t *w = 0;
        for (e = 0; e < count; e++) {
          uint32_t to_row, to_column;
          if (!output_of(events[e].row, tap_row, l->stride[0], l->padding[0], l->out_rows,
                         &to_row) ||
              !output_of(events[e].column, tap_column, l->stride[1], l->padding[1],
                         l->out_columns, &to_column))
            continue;
          if (w == 0) w = weights(l, number, row);
          add_row(l, group + (to_row * l->out_columns + to_column) * width, w, events[e].value);
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

/* How many odd multiples of the threshold are reached. */
void hq_run_counting_neuron(const hq_neuron *n, hq_value x, int32_t *membranes32,
                            int64_t *membranes64, uint8_t *counts) {
  uint32_t position, channel, i = 0;
  for (position = 0; position < n->positions; position++)
    for (channel = 0; channel < n->channels; channel++, i++) {
      const int64_t threshold =
          left64(n->thresholds[n->each_threshold ? channel : 0], n->threshold_shift);
      const int64_t bias = n->biases[n->each_bias ? channel : 0];
      int64_t m = left64(element(x, i), n->sum_shift) + left64(bias, n->bias_shift);
      int64_t level = threshold;
      uint8_t count = 0;
      if (membranes32) m += membranes32[i];
      if (membranes64) m += membranes64[i];
      while (count < n->levels && (threshold < 0 ? m <= level : m >= level)) {
        count++;
        level += 2 * threshold;
      }
      counts[i] = count;
      m = (m - 2 * count * threshold) >> n->rest;
      if (membranes32) membranes32[i] = (int32_t)m;
      if (membranes64) membranes64[i] = m;
      HQ_COUNTED(updates, 1);
    }
}

void hq_run_rescale(const hq_rescale *r, hq_value x, int32_t *out) {
  const int64_t half = (int64_t)1 << (r->shift - 1);
  uint32_t position, channel, i = 0;
  for (position = 0; position < r->positions; position++)
    for (channel = 0; channel < r->channels; channel++, i++) {
      const int64_t factor = r->factors[r->each_factor ? channel : 0];
      const int64_t offset = r->offsets[r->each_offset ? channel : 0];
      const int64_t scaled = element(x, i) * factor + left64(offset, r->offset_shift);
      out[i] = (int32_t)((scaled + half) >> r->shift);
    }
  HQ_COUNTED(multiplications, r->positions * r->channels);
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

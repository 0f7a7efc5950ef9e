/* The fixed part of an exported network: one function for each kind of node.
 *
 * Integers only; no allocation; nothing but <stdint.h> and <string.h>. Right shifts of negative
 * numbers must be arithmetic and int is 32 bits or more, as with every compiler for Arm, x86 and
 * RISC-V; hq_runtime.c checks the first while it compiles.
 *
 * A value is an array of its elements, all channels of a position together. It is `wide` (int32_t)
 * or not (uint8_t). Built with -DHQ_COUNT, every function counts what it does in *hq_here.
 */
#ifndef HQ_RUNTIME_H
#define HQ_RUNTIME_H

#include <stdint.h>

/* How the inputs of a layer meet its weights. */
enum { HQ_SPIKES = 0, HQ_MULTIPLY = 1, HQ_SHIFT = 2 };

typedef struct {
  const void *data;
  int wide;
} hq_value;

/* A row of weights is what one input and tap adds to all outputs of its group: `outputs` codes of
 * `bits` bits each without gaps, lowest bit first, or int32_t if bits is 32. `levels` translates
 * codes (HQ_SHIFT: into the exponent plus 1, with the weight's sign); none: two's complement. */
typedef struct {
  const void *codes;
  const int32_t *levels;
  uint8_t bits, arithmetic;
  uint16_t kernel[2], stride[2], padding[2], dilation[2];
  uint32_t groups, inputs, outputs; /* the latter two of one group */
  uint32_t rows, columns, out_rows, out_columns;
} hq_layer;

/* An input that is not zero. */
typedef struct {
  uint16_t row, column;
  int32_t value;
} hq_event;

/* Membranes are in units of 2^-point of a sum. Constants are one for each channel, or one. */
typedef struct {
  const int32_t *thresholds, *biases;
  uint8_t each_threshold, each_bias;
  uint8_t leak, sum_shift, bias_shift, threshold_shift;
  uint32_t positions, channels;
  uint8_t levels, rest; /* unit spikes at most; by how much what was not fired is shifted */
} hq_neuron;

/* Constants are one for each channel, or one. */
typedef struct {
  const int32_t *factors, *offsets;
  uint8_t each_factor, each_offset;
  uint8_t shift, offset_shift;
  uint32_t positions, channels;
} hq_rescale;

typedef struct {
  uint16_t kernel[2], stride[2], padding[2], dilation[2];
  uint8_t largest;
  uint32_t channels, rows, columns, out_rows, out_columns;
} hq_pool;

/* out[h][i][j] = sum over d of left[h][i][d] * right[h][d][j]; strides in elements. */
typedef struct {
  uint32_t heads, rows, depth, columns;
  uint32_t left[3], right[3], out[3];
  uint8_t gate, spikes; /* whose zeros are skipped, and whether it is 0 or 1 */
  uint32_t size;
} hq_product;

#ifdef HQ_COUNT
typedef struct {
  uint64_t accumulations, multiplications, shifts, fetches, updates, others;
} hq_count;
extern hq_count *hq_here;
#define HQ_COUNTED(what, number) (hq_here->what += (uint64_t)(number))
#else
#define HQ_COUNTED(what, number) ((void)0)
#endif

void hq_run_layer(const hq_layer *layer, hq_value x, int32_t *sums, hq_event *events, int32_t *row);
void hq_run_neuron32(const hq_neuron *neuron, hq_value x, int32_t *membranes, uint8_t *spikes);
void hq_run_neuron64(const hq_neuron *neuron, hq_value x, int64_t *membranes, uint8_t *spikes);
/* Membranes are of one width, or of none where nothing is kept. */
void hq_run_counting_neuron(const hq_neuron *neuron, hq_value x, int32_t *membranes32,
                            int64_t *membranes64, uint8_t *counts);
void hq_run_rescale(const hq_rescale *rescale, hq_value x, int32_t *out);
void hq_run_pool(const hq_pool *pool, hq_value x, void *out, int wide);
void hq_run_product(const hq_product *product, hq_value left, hq_value right, int32_t *out);
void hq_run_add(hq_value left, hq_value right, void *out, int wide, uint32_t size);
void hq_run_space_sum(hq_value x, uint32_t positions, uint32_t channels, int32_t *out);
void hq_run_time_sum(hq_value x, uint32_t size, int32_t *out);
void hq_run_logits(hq_value x, const int32_t *factors, const int32_t *offsets, unsigned shift,
                   uint32_t classes, int64_t *logits);
/* A frame, one channel after the other, to a value. */
void hq_turn_frame(const uint8_t *frame, uint32_t channels, uint32_t positions, uint8_t *out);

#endif

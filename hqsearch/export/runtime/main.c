/* Classify samples: ./classify FILE
 *
 * FILE holds one or more samples, each HQ_TIMESTEPS frames of HQ_CHANNELS x HQ_HEIGHT x HQ_WIDTH
 * bytes. One line for each: its class and, behind it, the logits, in units of 2^-HQ_LOGIT_SHIFT.
 * Built with -DHQ_COUNT, the operations of all samples follow.
 */
#include <stdio.h>

#include "hq_model.h"

static uint8_t sample[HQ_TIMESTEPS * HQ_FRAME];

/* A space and an integer: not every C library's printf knows 64 bits. */
static void print_integer(int64_t value) {
  char digits[21];
  int count = 0;
  uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
  do {
    digits[count++] = (char)('0' + (int)(rest % 10));
    rest /= 10;
  } while (rest != 0);
  putchar(' ');
  if (value < 0) putchar('-');
  while (count > 0) putchar(digits[--count]);
}

int main(int count, char **arguments) {
  int64_t logits[HQ_CLASSES];
  size_t got = 0, samples = 0;
  FILE *file;
  int i;
  if (count != 2) {
    fprintf(stderr, "usage: %s FILE (samples of %d bytes)\n", count ? arguments[0] : "classify",
            (int)sizeof sample);
    return 2;
  }
  file = fopen(arguments[1], "rb");
  if (file == NULL) {
    fprintf(stderr, "%s cannot be opened\n", arguments[1]);
    return 2;
  }
  for (; (got = fread(sample, 1, sizeof sample, file)) == sizeof sample; samples++) {
    if (hq_run(sample, logits)) {
      fprintf(stderr, "sample %d holds a value above %d\n", (int)samples, HQ_LARGEST_INPUT);
      fclose(file);
      return 2;
    }
    printf("%d", hq_class(logits));
    for (i = 0; i < HQ_CLASSES; i++) print_integer(logits[i]);
    putchar('\n');
  }
  fclose(file);
  if (got != 0 || samples == 0) {
    fprintf(stderr, "%s does not hold whole samples of %d bytes\n", arguments[1],
            (int)sizeof sample);
    return 2;
  }
#ifdef HQ_COUNT
  for (i = 0; i < HQ_OPERATIONS; i++) {
    const hq_count *const c = &hq_counts[i];
    printf("%s", hq_paths[i]);
    print_integer((int64_t)c->accumulations);
    print_integer((int64_t)c->multiplications);
    print_integer((int64_t)c->shifts);
    print_integer((int64_t)c->fetches);
    print_integer((int64_t)c->updates);
    print_integer((int64_t)c->others);
    putchar('\n');
  }
#endif
  return 0;
}

/* Where a Cortex-M begins: its stack, and the start of newlib. */
extern char __stack;
extern void _start(void);
struct vectors {
  void *stack;
  void (*start)(void);
};
extern const struct vectors vectors;
__attribute__((section(".vectors"), used)) const struct vectors vectors = {&__stack, _start};

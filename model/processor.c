/* What the library needs of the processor. */
#include "real.h"

#ifdef __x86_64__
#include <cpuid.h>
#endif

/* Returns whether the processor that this is compiled for has fused multiply-add instructions. Without them the results
   are the same, but fifty times slower. */
int has_multiply_add(void);

/* Returns whether this processor has the vector instructions that the compiler was allowed to use: those of x86-64-v3
   (AVX2, FMA) or v4 (AVX-512). All others that a library may need are present since the processors with these. */
int runs_here(void);

int has_multiply_add(void) {
    return HAS_MULTIPLY_ADD;
}

#if defined(__x86_64__) && defined(__AVX2__)

/* Returns which registers the operating system saves: bits 1 and 2 for AVX, 5 to 7 for AVX-512. */
static uint32_t saved_registers(void) {
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static int has_all(uint32_t bits, uint32_t wanted) {
    return (bits & wanted) == wanted;
}

int runs_here(void) {
    const uint32_t basic = bit_FMA | bit_OSXSAVE | bit_AVX, v3 = bit_AVX2 | bit_BMI | bit_BMI2;
    const uint32_t v4 = bit_AVX512F | bit_AVX512DQ | bit_AVX512CD | bit_AVX512BW | bit_AVX512VL;
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !has_all(c, basic) || !has_all(saved_registers(), 0x06))
        return 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !has_all(b, v3))
        return 0;
#ifdef __AVX512F__
    if (!has_all(b, v4) || !has_all(saved_registers(), 0xe6))
        return 0;
#endif
    return 1;
}

#else

int runs_here(void) {
    return 1;
}

#endif

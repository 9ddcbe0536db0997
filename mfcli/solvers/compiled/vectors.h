/* Vectors of floats, those of GCC and Clang, as wide as what is compiled for has them. Arrays are row-major float32. */

#ifndef VECTORS_H
#define VECTORS_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
enum { LANES = 16 };
#elif defined(__AVX__)
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif
enum { CACHE_LINE = 64 };

typedef float vector __attribute__((vector_size(LANES * sizeof(float))));
typedef float four __attribute__((vector_size(4 * sizeof(float))));
typedef float unaligned_vector __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float))));

#define INLINE static inline __attribute__((always_inline))
#define AT(floats) (*(vector *)(floats)) /* the vector that begins there; only where one does */

INLINE int64_t whole_vectors(int64_t n) { return (n + LANES - 1) / LANES * LANES; }

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

INLINE float total(vector a) {
    four fours[LANES / 4], sum = {0};
    memcpy(fours, &a, sizeof a);
    for (int i = 0; i < LANES / 4; i++) sum += fours[i];
    return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

/* Of so many columns, whole vectors. */
INLINE float dot(const float *a, const float *b, int64_t width) {
    vector sum = {0};
    for (int64_t c = 0; c < width; c += LANES) sum += AT(a + c) * AT(b + c);
    return total(sum);
}

/* Floats that begin a cache line, and so a vector, or NULL. */
static inline float *allocate(int64_t n) {
    return aligned_alloc(CACHE_LINE, (n * sizeof(float) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
}

/* (d, stride) zeros with the (d, d) matrix in them, if there is one. */
static inline void pad(float *to, const float *from, int64_t d, int64_t stride) {
    memset(to, 0, d * stride * sizeof(float));
    for (int64_t i = 0; from && i < d; i++) memcpy(to + i * stride, from + i * d, d * sizeof(float));
}

/* Let an array begin where the one before it ends. */
#define TAKE(array, size) (array = end, end += (size))

#endif

/* Sums of products, in tiles that stay in registers. */

#ifndef TILES_H
#define TILES_H

#include "vectors.h"

/* Rows and vectors of a tile of sums: as many as there are registers for. */
#if defined(__AVX512F__)
enum { TILE_ROWS = 8, TILE_VECTORS = 2 };
#elif defined(__AVX__)
enum { TILE_ROWS = 4, TILE_VECTORS = 3 };
#else
enum { TILE_ROWS = 4, TILE_VECTORS = 2 };
#endif

/* sums[t, :] += sum over i < n of x[i, t] q[i, :] for some rows t and vectors of sums, both known when compiled. */
INLINE void add_tile(int rows, int vectors, const float *x, int64_t x_stride, int64_t t_stride, const float *q,
                     int64_t width, int64_t n, float *sums, int64_t stride) {
    vector tile[TILE_ROWS][TILE_VECTORS];
#pragma GCC unroll 8
    for (int t = 0; t < rows; t++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) tile[t][v] = (vector){0};
    for (int64_t i = 0; i < n; i++)
#pragma GCC unroll 8
        for (int t = 0; t < rows; t++)
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                tile[t][v] += x[i * x_stride + t * t_stride] * AT(q + i * width + v * LANES);
#pragma GCC unroll 8
    for (int t = 0; t < rows; t++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) AT(sums + t * stride + v * LANES) += tile[t][v];
}

/* The same for so many columns: whole vectors. */
INLINE void add_strip(int rows, const float *x, int64_t x_stride, int64_t t_stride, const float *q, int64_t width,
                      int64_t columns, int64_t n, float *sums, int64_t stride) {
    int64_t c = 0;
    for (; c + TILE_VECTORS * LANES <= columns; c += TILE_VECTORS * LANES)
        add_tile(rows, TILE_VECTORS, x, x_stride, t_stride, q + c, width, n, sums + c, stride);
    for (; c < columns; c += LANES) add_tile(rows, 1, x, x_stride, t_stride, q + c, width, n, sums + c, stride);
}

/* The same for so many rows t of x, and of the sums. */
static inline void add_product(int64_t rows, const float *x, int64_t x_stride, int64_t t_stride, const float *q, int64_t width,
                        int64_t columns, int64_t n, float *sums, int64_t stride) {
    int64_t t = 0;
    for (; t + TILE_ROWS <= rows; t += TILE_ROWS)
        add_strip(TILE_ROWS, x + t * t_stride, x_stride, t_stride, q, width, columns, n, sums + t * stride, stride);
    for (; t < rows; t++)
        add_strip(1, x + t * t_stride, x_stride, t_stride, q, width, columns, n, sums + t * stride, stride);
}

#endif

/* Solving symmetric equations A z = h, by Gaussian elimination. */

#ifndef EQUATIONS_H
#define EQUATIONS_H

#include "vectors.h"

enum { PANEL = 8 }; /* rows eliminated at a time */

/* Every array, and every row of the matrix, begins a vector. */
struct equations {
    int64_t d, stride; /* A is (d, d); a row of the matrix has right sides from column d on, and is whole vectors */
    float *matrix;     /* (d, stride); of A the upper triangle, in whole vectors */
    float *inverse;    /* (d,) of the pivots */
    float *right;      /* (d,) right side of the triangular equations */
    float *z;          /* (stride,) their solution, and zeros */
};

/*
Gaussian elimination in place, which leaves R, upper triangular, with A = R' D^-1 R and D its diagonal,
and right sides times D R'^-1. Says whether all pivots are above 0. (Cholesky's factor is D^-1/2 R. Its roots would
all have to be waited for, one after the other; here none is.)
*/
static inline int eliminate(struct equations *e) {
    const int64_t d = e->d, stride = e->stride;
    for (int64_t begin = 0; begin < d; begin += PANEL) {
        const int64_t end = least(begin + PANEL, d);
        const float *panel = e->matrix + begin * stride;
        for (int64_t j = begin; j < end; j++) {
            const float *pivot_row = e->matrix + j * stride;
            if (!(pivot_row[j] > 0)) return 0;
            e->inverse[j] = 1 / pivot_row[j];
            for (int64_t i = j + 1; i < end; i++) {
                float *row = e->matrix + i * stride;
                const float factor = pivot_row[i] * e->inverse[j];
                for (int64_t c = i / LANES * LANES; c < stride; c += LANES) AT(row + c) -= factor * AT(pivot_row + c);
            }
        }
        for (int64_t i = end; i < d; i++) {
            float *row = e->matrix + i * stride, factors[PANEL];
            for (int j = 0; j < PANEL; j++) factors[j] = panel[j * stride + i] * e->inverse[begin + j];
            for (int64_t c = i / LANES * LANES; c < stride; c += LANES) {
                vector even = {0}, odd = {0};
                for (int j = 0; j < PANEL; j += 2) {
                    even += factors[j] * AT(panel + j * stride + c);
                    odd += factors[j + 1] * AT(panel + (j + 1) * stride + c);
                }
                AT(row + c) -= even + odd;
            }
        }
    }
    return 1;
}

/* z from R z = right, a vector of rows at a time: first what is to the right of their square, then the square. */
static inline void substitute(struct equations *e) {
    const int64_t d = e->d, stride = e->stride;
    memset(e->z, 0, stride * sizeof(float));
    for (int64_t begin = (d - 1) / LANES * LANES; begin >= 0; begin -= LANES) {
        const int64_t end = least(begin + LANES, d);
        for (int64_t i = begin; i < end; i++) {
            const float *row = e->matrix + i * stride;
            vector known = {0};
            for (int64_t c = begin + LANES; c < whole_vectors(d); c += LANES) known += AT(row + c) * AT(e->z + c);
            e->right[i] -= total(known);
        }
        for (int64_t i = end - 1; i >= begin; i--) {
            const float *row = e->matrix + i * stride;
            float left = e->right[i];
            for (int64_t j = end - 1; j > i; j--) left -= row[j] * e->z[j];
            e->z[i] = left * e->inverse[i];
        }
    }
}

/* Take the right side in that column for that of the triangular equations. */
INLINE void set_right(struct equations *e, int64_t column) {
    for (int64_t i = 0; i < e->d; i++) e->right[i] = e->matrix[i * e->stride + column];
}

#endif

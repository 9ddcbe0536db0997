/*
A step of the rows of a block towards their solutions, on a CPU, a row at a time: step of ../steps.py, which has its
mathematics, without the passes over memory.
*/

#include "gather.h"

static const float TINY = 1e-30f; /* in place of 0, where a row is solved already */

struct problem {
    struct block block;
    const float *diagonals; /* (side's rows, k) prior precision, above 0 */
    const float *begin;     /* (side's rows, k) rows to step from */
    float *rows;            /* (side's rows, k) where the step ends */
    float *weighted_errors; /* (side's rows,) sums of w(y - x z)^2 there */
    double squared_error;   /* the sum of the same without weights over all rows */
};

/* Where a thread works on a row. Every array begins a vector. */
struct desk {
    struct gathered gathered;
    float *z, *residual, *ahead, *diagonal; /* (width,), 0 beyond k; the diagonal is 1 there */
    float *errors, *moved, *w;              /* (slots,) of each rating, times its root weight, and that */
};

/* Errors of the row's ratings at z, and the sum of these times x. */
static void look(const struct block *b, int64_t row, struct desk *desk) {
    struct gathered *g = &desk->gathered;
    const int64_t n = ratings_of(b, row);
    memset(desk->residual, 0, g->width * sizeof(float));
    for (int64_t from = 0; from < n; from += g->most) {
        const int64_t m = least(n - from, g->most);
        gather(b, row, from, m, g);
        memcpy(desk->w + from, g->w, m * sizeof(float));
        for (int64_t i = 0; i < m; i++) {
            const float *q = g->q + i * g->width, error = g->y[i] - dot(q, desk->z, g->width);
            desk->errors[from + i] = error;
            for (int64_t c = 0; c < g->width; c += LANES) AT(desk->residual + c) += error * AT(q + c);
        }
    }
}

/* What a step of length 1 ahead takes off each error. The last ratings are still there; others are gathered once more. */
static void look_ahead(const struct block *b, int64_t row, struct desk *desk) {
    struct gathered *g = &desk->gathered;
    const int64_t n = ratings_of(b, row);
    for (int64_t from = 0; from < n; from += g->most) {
        const int64_t m = least(n - from, g->most);
        if (n > g->most) gather(b, row, from, m, g);
        for (int64_t i = 0; i < m; i++) desk->moved[from + i] = dot(g->q + i * g->width, desk->ahead, g->width);
    }
}

static void take_step(struct problem *p, int64_t row, struct desk *desk) {
    const struct block *b = &p->block;
    const int64_t k = b->k, number = b->numbers[row];
    const int64_t n = ratings_of(b, row), width = desk->gathered.width;
    memcpy(desk->z, p->begin + number * k, k * sizeof(float));
    memcpy(desk->diagonal, p->diagonals + number * k, k * sizeof(float));
    look(b, row, desk);
    for (int64_t c = 0; c < width; c += LANES) {
        AT(desk->residual + c) -= AT(desk->diagonal + c) * AT(desk->z + c);
        AT(desk->ahead + c) = AT(desk->residual + c) / AT(desk->diagonal + c);
    }
    look_ahead(b, row, desk);
    const float slope = dot(desk->residual, desk->ahead, width);
    for (int64_t i = n; i < whole_vectors(n); i++) desk->errors[i] = desk->moved[i] = desk->w[i] = 0;
    const float curvature = dot(desk->moved, desk->moved, whole_vectors(n)) + slope;
    const float length = slope / (curvature < TINY ? TINY : curvature); /* what is no number stays none */
    vector weighted = {0}, plain = {0};
    for (int64_t i = 0; i < n; i += LANES) {
        const vector error = AT(desk->errors + i) - length * AT(desk->moved + i);
        const vector unweighted = error / (AT(desk->w + i) + LEAST_WEIGHT);
        weighted += error * error, plain += unweighted * unweighted;
    }
    p->weighted_errors[number] = total(weighted);
    p->squared_error += total(plain);
    for (int64_t i = 0; i < k; i++) p->rows[number * k + i] = desk->z[i] + length * desk->ahead[i];
}

/* A step of all rows. Returns 0, or -1 if there is no memory. */
int take_steps(struct problem *p) {
    struct desk desk = {.gathered = sized(p->block.k)};
    struct gathered *g = &desk.gathered;
    const int64_t slots = whole_vectors(p->block.slots);
    float *memory = allocate(g->most * (g->width + 2) + 4 * g->width + 3 * slots);
    if (!memory) return -1;
    float *end = memory;
    TAKE(g->q, g->most * g->width);
    TAKE(g->y, g->most);
    TAKE(g->w, g->most);
    TAKE(desk.z, g->width);
    TAKE(desk.residual, g->width);
    TAKE(desk.ahead, g->width);
    TAKE(desk.diagonal, g->width);
    TAKE(desk.errors, slots);
    TAKE(desk.moved, slots);
    TAKE(desk.w, slots);
    memset(g->q, 0, g->most * g->width * sizeof(float));
    memset(desk.z, 0, g->width * sizeof(float));
    for (int64_t i = 0; i < g->width; i++) desk.diagonal[i] = 1;
    p->squared_error = 0;
    for (int64_t row = 0; row < p->block.n_rows; row++) take_step(p, row, &desk);
    free(memory);
    return 0;
}

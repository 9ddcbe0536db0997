/*
The rows of a block, and what their ratings point at on the other side, gathered.

"Root weights" are the square roots of what ratings weigh; what is gathered comes times them, as in ../gathering.py.
*/

#ifndef GATHER_H
#define GATHER_H

#include "vectors.h"

enum {
    CHUNK_BYTES = 24 * 1024, /* of factors gathered at a time, to stay in the core's first cache, of 32 KB or more */
    AHEAD = 8,               /* ratings: how long before its use what they point at is asked for */
};
static const float LEAST_WEIGHT = 1e-12f; /* of a root, in place of 0 */

/* The rows of a block and the other side. What may be NULL says so. */
struct block {
    int64_t n_rows, slots, k;
    const int64_t *numbers;    /* (n_rows,) of the rows, among all of their side */
    const int32_t *others;     /* (n_rows, slots) rows of the other side; a row's ratings are its first slots */
    const float *ratings;      /* (n_rows, slots) */
    const float *own_weights;  /* (n_rows, slots) root weights of the ratings, or NULL */
    const float *counts;       /* (n_rows,) ratings of each row */
    const float *factors;      /* (n_others, k), times the root weights of the other side's rows */
    const float *biases;       /* (n_others,), or NULL */
    const float *root_weights; /* (n_others,), or NULL */
};

/* Solving for the rows of a block, or sampling them: what all ways of it need. */
struct half {
    struct block block;
    const float *pulls;     /* (d,) for all rows of the side, a stride apart: prior precision times prior mean */
    int64_t pulls_stride;
    int64_t by_root_count;  /* whether prior precision and pulls are times the root of a row's ratings */
    double alpha;           /* noise precision of all rows, unless there are */
    const float *alphas;    /* those of every row of the side, or NULL */
    const float *normals;   /* (n_rows, columns) draws to sample with, or NULL to solve */
    float *rows;            /* (side's rows, d) solutions, or samples */
    float *means;           /* (side's rows, d) solutions, or NULL */
    float *weighted_errors; /* (side's rows,) sums of w(y - x z)^2 */
    double squared_error;   /* the sum of the same, without weights, over all rows */
};

/* Some of a row's ratings. From the last of them to the end of a vector there are zeros; beyond k columns, what the
caller keeps there. */
struct gathered {
    int64_t most, width; /* ratings at the most, and columns: whole vectors */
    float *q;            /* (most, width) factors */
    float *y;            /* (most,) targets, times root weights */
    float *w;            /* (most,) root weights */
};

/* How many ratings a row has. One alone in its block fills it, with more than a float can count. */
INLINE int64_t ratings_of(const struct block *b, int64_t row) {
    return b->n_rows == 1 ? b->slots : (int64_t)b->counts[row];
}

INLINE float alpha_of(const struct half *h, int64_t number) { return h->alphas ? h->alphas[number] : (float)h->alpha; }

/* The sizes for k factors; the arrays are the caller's to place. */
static inline struct gathered sized(int64_t k) {
    const int64_t width = whole_vectors(k);
    const int64_t fit = CHUNK_BYTES / (int64_t)sizeof(float) / width / LANES * LANES;
    return (struct gathered){.most = fit > LANES ? fit : LANES, .width = width};
}

/* Gather the ratings from, ..., from + n - 1 of a row. */
static inline void gather(const struct block *b, int64_t row, int64_t from, int64_t n, struct gathered *g) {
    const int64_t k = b->k, first = row * b->slots + from, left = ratings_of(b, row) - from;
    for (int64_t i = 0; i < n; i++) {
        if (i + AHEAD < left) {
            const char *next = (const char *)(b->factors + b->others[first + i + AHEAD] * k);
            for (int64_t byte = 0; byte < k * (int64_t)sizeof(float); byte += CACHE_LINE) __builtin_prefetch(next + byte);
        }
        const int64_t other = b->others[first + i];
        const float *factors = b->factors + other * k;
        const float own = b->own_weights ? b->own_weights[first + i] : 1;
        float *q = g->q + i * g->width;
        int64_t c = 0;
        for (; c + LANES <= k; c += LANES) AT(q + c) = own * *(const unaligned_vector *)(factors + c);
        for (; c < k; c++) q[c] = own * factors[c];
        g->w[i] = b->root_weights ? own * b->root_weights[other] : own;
        g->y[i] = g->w[i] * (b->biases ? b->ratings[first + i] - b->biases[other] : b->ratings[first + i]);
    }
    for (int64_t i = n; i < whole_vectors(n); i++) g->y[i] = g->w[i] = 0;
}

#endif

/*
Solving for the rows of a block on a CPU, a row at a time: solve_long of ../rows.py, without its passes over memory.

A row's outer products are added up where its gathered ratings are still in the core's cache, in tiles that stay in
registers; its equations and their solution stay in the cache as well. Of a symmetric matrix there is the upper triangle,
in whole vectors: on the diagonal a vector has both triangles.
*/

#include "equations.h"
#include "gather.h"
#include "tiles.h"

static const float ROUNDING = 1e-6f; /* of a row's sum of squares: as in ../rows.py */

struct problem {
    struct half half;       /* with draws of d columns, where d is k, or k + 1 with biases */
    const float *precision; /* (d, d) */
    const float *each;      /* (d, d), or NULL for 0: prior precision is precision + n each for a row with n ratings */
    int64_t plain;          /* whether the squared error is wanted without weights, else about that */
};

/* Where a thread works on a row. Every array, and every row of a matrix, begins a vector. */
struct desk {
    int64_t d, stride;       /* stride: columns of the square matrices, as of the equations */
    struct gathered gathered;
    float *precision, *each; /* (d, stride) those of the problem */
    float *gram;             /* (d, stride) sums of x x' over the row's ratings, x being times the root weight */
    float *cross;            /* (2, width) sums of y q' and w q' */
    float yy, yw, ww;        /* sums of y y, y w and w w */
    struct equations equations; /* with the right side in column d */
};

/* Add n ratings, which have been gathered, to the sums. */
static void add(struct desk *desk, int64_t k, int64_t n) {
    const struct gathered *g = &desk->gathered;
    const int64_t width = g->width, stride = desk->stride;
    int64_t t = 0;
    for (; t + TILE_ROWS <= k; t += TILE_ROWS) {
        const int64_t c = t / LANES * LANES;
        add_strip(TILE_ROWS, g->q + t, width, 1, g->q + c, width, width - c, n, desk->gram + t * stride + c, stride);
    }
    for (; t < k; t++) {
        const int64_t c = t / LANES * LANES;
        add_strip(1, g->q + t, width, 1, g->q + c, width, width - c, n, desk->gram + t * stride + c, stride);
    }
    add_strip(2, g->y, 1, g->w - g->y, g->q, width, width, n, desk->cross, width);
    vector yy = {0}, yw = {0}, ww = {0};
    for (int64_t i = 0; i < n; i += LANES) {
        const vector y = AT(g->y + i), w = AT(g->w + i);
        yy += y * y, yw += y * w, ww += w * w;
    }
    desk->yy += total(yy), desk->yw += total(yw), desk->ww += total(ww);
}

/* All sums over a row's ratings. Those of long rows are sums of sums, which keeps rounding small. */
static void add_all(const struct block *b, int64_t row, struct desk *desk) {
    const int64_t k = b->k, n = ratings_of(b, row), stride = desk->stride, width = desk->gathered.width;
    memset(desk->gram, 0, desk->d * stride * sizeof(float));
    memset(desk->cross, 0, 2 * width * sizeof(float));
    desk->yy = desk->yw = desk->ww = 0;
    for (int64_t from = 0; from < n; from += desk->gathered.most) {
        const int64_t m = least(n - from, desk->gathered.most);
        gather(b, row, from, m, &desk->gathered);
        add(desk, k, m);
    }
    if (!b->biases) return;
    /* The bias's x is w: column k, and row k where a vector of it has the diagonal. */
    const float *of_bias = desk->cross + width;
    for (int64_t i = 0; i < k; i++) desk->gram[i * stride + k] = of_bias[i];
    for (int64_t i = k / LANES * LANES; i < k; i++) desk->gram[k * stride + i] = of_bias[i];
    desk->gram[k * stride + k] = desk->ww;
}

/* Sum of y x, number i. */
INLINE float moment(const struct desk *desk, int64_t k, int64_t i) { return i < k ? desk->cross[i] : desk->yw; }

static void set_equations(const struct problem *p, int64_t row, struct desk *desk) {
    const int64_t stride = desk->stride, number = p->half.block.numbers[row];
    const float n = p->half.block.counts[row], alpha = alpha_of(&p->half, number);
    const float *pull = p->half.pulls + number * p->half.pulls_stride, scale = p->half.by_root_count ? sqrtf(fmaxf(n, 1)) : 1;
    float *matrix = desk->equations.matrix;
    for (int64_t i = 0; i < desk->d; i++) {
        const int64_t at = i * stride;
        for (int64_t c = at + i / LANES * LANES; c < at + stride; c += LANES) {
            const vector prior = AT(desk->precision + c) + n * AT(desk->each + c);
            AT(matrix + c) = scale * prior + alpha * AT(desk->gram + c);
        }
        matrix[at + desk->d] = alpha * moment(desk, p->half.block.k, i) + scale * pull[i];
    }
}

/* z' G z: what is right of the diagonal's vectors counts twice. */
static float quadratic(const struct desk *desk) {
    const int64_t stride = desk->stride;
    vector sum = {0};
    for (int64_t i = 0; i < desk->d; i++) {
        const float *row = desk->gram + i * stride;
        const int64_t on = i / LANES * LANES;
        vector beyond = {0};
        for (int64_t c = on + LANES; c < stride; c += LANES) beyond += AT(row + c) * AT(desk->equations.z + c);
        sum += desk->equations.z[i] * (AT(row + on) * AT(desk->equations.z + on) + 2 * beyond);
    }
    return total(sum);
}

/* Take down a row's squared errors, from its other sums. */
static void errors_of_sums(struct problem *p, int64_t row, const struct desk *desk) {
    const struct block *b = &p->half.block;
    float errors = desk->yy + quadratic(desk), plain;
    for (int64_t i = 0; i < desk->d; i++) errors -= 2 * desk->equations.z[i] * moment(desk, b->k, i);
    plain = errors;
    if (b->root_weights || b->own_weights) {
        const float lowest = ROUNDING * desk->yy; /* less is what rounding left; what is no number stays none */
        errors = errors < lowest ? lowest : errors;
        plain = errors * b->counts[row] / fmaxf(desk->ww, 1e-30f);
    }
    p->half.weighted_errors[b->numbers[row]] = errors;
    p->half.squared_error += plain;
}

/* The same from the row's ratings, of which the last are still there and the others are gathered once more. */
static void errors_of_ratings(struct problem *p, int64_t row, struct desk *desk) {
    const struct block *b = &p->half.block;
    struct gathered *g = &desk->gathered;
    const int64_t n = ratings_of(b, row);
    const float bias = b->biases ? desk->equations.z[b->k] : 0;
    float weighted = 0, plain = 0;
    for (int64_t from = 0; from < n; from += g->most) {
        const int64_t m = least(n - from, g->most);
        if (n > g->most) gather(b, row, from, m, g);
        for (int64_t i = 0; i < m; i++) g->y[i] -= dot(g->q + i * g->width, desk->equations.z, g->width);
        vector of_chunk = {0}, without = {0};
        for (int64_t i = 0; i < m; i += LANES) {
            const vector w = AT(g->w + i), error = AT(g->y + i) - bias * w, unweighted = error / (w + LEAST_WEIGHT);
            of_chunk += error * error, without += unweighted * unweighted;
        }
        weighted += total(of_chunk), plain += total(without);
    }
    p->half.weighted_errors[b->numbers[row]] = weighted;
    p->half.squared_error += plain;
}

/* Whether the row's equations could be solved. */
static int solve(struct problem *p, int64_t row, struct desk *desk) {
    const int64_t d = desk->d, number = p->half.block.numbers[row];
    struct equations *e = &desk->equations;
    add_all(&p->half.block, row, desk);
    set_equations(p, row, desk);
    if (!eliminate(e)) return 0;
    if (p->half.means) {
        set_right(e, d);
        substitute(e);
        memcpy(p->half.means + number * d, e->z, d * sizeof(float));
    }
    set_right(e, d);
    for (int64_t i = 0; p->half.normals && i < d; i++) e->right[i] += sqrtf(e->matrix[i * e->stride + i]) * p->half.normals[row * d + i];
    substitute(e);
    memcpy(p->half.rows + number * d, e->z, d * sizeof(float));
    if (p->plain) errors_of_ratings(p, row, desk);
    else errors_of_sums(p, row, desk);
    return 1;
}

/* Solve for all rows. Returns 0; 1 if rounding has spoiled some row's equations; -1 if there is no memory. */
int solve_long(struct problem *p) {
    struct desk desk = {.d = p->half.block.k + (p->half.block.biases != NULL), .gathered = sized(p->half.block.k)};
    struct gathered *g = &desk.gathered;
    desk.stride = whole_vectors(desk.d + 1);
    const int64_t square = desk.d * desk.stride;
    desk.equations = (struct equations){.d = desk.d, .stride = desk.stride};
    float *memory = allocate(g->most * (g->width + 2) + 4 * square + 2 * g->width + 3 * desk.stride);
    if (!memory) return -1;
    float *end = memory;
    TAKE(g->q, g->most * g->width);
    TAKE(g->y, g->most);
    TAKE(g->w, g->most);
    TAKE(desk.precision, square);
    TAKE(desk.each, square);
    TAKE(desk.gram, square);
    TAKE(desk.cross, 2 * g->width);
    TAKE(desk.equations.matrix, square);
    TAKE(desk.equations.inverse, desk.stride);
    TAKE(desk.equations.right, desk.stride);
    TAKE(desk.equations.z, desk.stride);
    memset(g->q, 0, g->most * g->width * sizeof(float));
    pad(desk.precision, p->precision, desk.d, desk.stride);
    pad(desk.each, p->each, desk.d, desk.stride);
    p->half.squared_error = 0;
    int failed = 0;
    for (int64_t row = 0; row < p->half.block.n_rows; row++) failed |= !solve(p, row, &desk);
    free(memory);
    return failed;
}

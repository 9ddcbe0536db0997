/*
Solving for rows with few ratings, in as many dimensions as they have: solve_short of ../rows.py, which has the
mathematics, a row at a time and in coordinates in which the prior precision of every row is a diagonal.

With z = B v a row's prior is N(D^-1 c, D^-1) of v, where D is that diagonal, and its ratings' x are B' x.
*/

#include "equations.h"
#include "gather.h"
#include "tiles.h"

struct problem {
    struct half half;       /* with pulls in the coordinates, and draws of d + slots columns */
    const float *basis;     /* (d, d) B, or NULL where it is the identity */
    const float *diagonals; /* (side's rows, d) D, or NULL */
    const float *growth;    /* (d,), or NULL for 0: without diagonals D is 1 + n growth for a row with n ratings */
};

/* Where a thread works on a row. Every array, and every row of a matrix, begins a vector; beyond d columns are zeros. */
struct desk {
    int64_t d;
    struct gathered gathered;    /* of x in place of q: the bias's number is in column k */
    float *basis;                /* (d, width) B */
    float *x;                    /* (slots, width) x of the ratings in the coordinates; their own place without a basis */
    float *scaled;               /* (width,) one of them times shrink */
    float *shrink;               /* (width,) D^-1 */
    float *mean, *start, *v;     /* (width,) prior mean, a sample of the prior, what is solved for */
    float *z;                    /* (width,) that in the rows' own coordinates */
    struct equations equations;  /* with right sides of the sample and of the mean, a column each */
};

/* What is believed of a row: shrink, the mean, and a sample or the mean once more. */
static void set_prior(const struct problem *p, int64_t row, struct desk *desk) {
    const int64_t d = desk->d, number = p->half.block.numbers[row];
    const float n = p->half.block.counts[row], scale = p->half.by_root_count ? sqrtf(n) : 1;
    const float *pulls = p->half.pulls + number * p->half.pulls_stride;
    const float *normals = p->half.normals ? p->half.normals + row * (d + p->half.block.slots) : NULL;
    for (int64_t c = 0; c < d; c++) {
        const float own = p->diagonals ? p->diagonals[number * d + c] : p->growth ? 1 + n * p->growth[c] : 1;
        desk->shrink[c] = 1 / (scale * own);
        desk->mean[c] = pulls[c] / own;
        desk->start[c] = desk->mean[c] + (normals ? sqrtf(desk->shrink[c]) * normals[c] : 0);
    }
}

/* x of the row's n ratings. */
static void set_x(const struct block *b, int64_t row, int64_t n, struct desk *desk) {
    struct gathered *g = &desk->gathered;
    gather(b, row, 0, n, g);
    for (int64_t i = 0; b->biases && i < n; i++) g->q[i * g->width + b->k] = g->w[i];
    if (desk->x == g->q) return;
    /* A tile takes no longer than three rows alone; what else it adds up is nobody's. */
    const int64_t rows = n % TILE_ROWS > 2 ? (n / TILE_ROWS + 1) * TILE_ROWS : n;
    memset(desk->x, 0, rows * g->width * sizeof(float));
    add_product(rows, g->q, 1, g->width, desk->basis, g->width, g->width, desk->d, desk->x, g->width);
}

/* (X D^-1 X' + I/alpha) u = y + noise/root alpha - X start, and = y - X mean. */
static void set_equations(const struct problem *p, int64_t row, int64_t n, struct desk *desk) {
    const int64_t width = desk->gathered.width, number = p->half.block.numbers[row];
    const float alpha = alpha_of(&p->half, number);
    const float *normals = p->half.normals ? p->half.normals + row * (desk->d + p->half.block.slots) + desk->d : NULL;
    struct equations *e = &desk->equations;
    e->d = n;
    memset(e->matrix, 0, n * e->stride * sizeof(float));
    for (int64_t i = 0; i < n; i++) {
        const float *x = desk->x + i * width, y = desk->gathered.y[i];
        float *to = e->matrix + i * e->stride;
        for (int64_t c = 0; c < width; c += LANES) AT(desk->scaled + c) = AT(desk->shrink + c) * AT(x + c);
        for (int64_t j = i; j < n; j++) to[j] = dot(desk->scaled, desk->x + j * width, width);
        to[i] += 1 / alpha;
        to[n] = y + (normals ? normals[i] / sqrtf(alpha) : 0) - dot(x, desk->start, width);
        to[n + 1] = p->half.means ? y - dot(x, desk->mean, width) : 0;
    }
}

/* v = start + D^-1 X' u, with u the solution for the right side in that column; and z. */
static void set_solution(int64_t column, const float *start, struct desk *desk) {
    const int64_t width = desk->gathered.width, n = desk->equations.d;
    set_right(&desk->equations, column);
    substitute(&desk->equations);
    memset(desk->scaled, 0, width * sizeof(float));
    add_product(1, desk->equations.z, 1, 0, desk->x, width, width, n, desk->scaled, width);
    for (int64_t c = 0; c < width; c += LANES) AT(desk->v + c) = AT(start + c) + AT(desk->shrink + c) * AT(desk->scaled + c);
    if (desk->z == desk->v) return;
    for (int64_t i = 0; i < desk->d; i++) desk->z[i] = dot(desk->basis + i * width, desk->v, width);
}

/* Whether the row's equations could be solved. */
static int solve(struct problem *p, int64_t row, struct desk *desk) {
    const int64_t d = desk->d, n = ratings_of(&p->half.block, row), number = p->half.block.numbers[row];
    const struct gathered *g = &desk->gathered;
    set_prior(p, row, desk);
    set_x(&p->half.block, row, n, desk);
    set_equations(p, row, n, desk);
    if (!eliminate(&desk->equations)) return 0;
    if (p->half.means) {
        set_solution(n + 1, desk->mean, desk);
        memcpy(p->half.means + number * d, desk->z, d * sizeof(float));
    }
    set_solution(n, desk->start, desk);
    memcpy(p->half.rows + number * d, desk->z, d * sizeof(float));
    float weighted = 0, plain = 0;
    for (int64_t i = 0; i < n; i++) {
        const float error = g->y[i] - dot(desk->x + i * g->width, desk->v, g->width);
        const float unweighted = error / (g->w[i] + LEAST_WEIGHT);
        weighted += error * error, plain += unweighted * unweighted;
    }
    p->half.weighted_errors[number] = weighted;
    p->half.squared_error += plain;
    return 1;
}

/* Solve for all rows. Returns 0; 1 if rounding has spoiled some row's equations; -1 if there is no memory. */
int solve_short(struct problem *p) {
    const int64_t d = p->half.block.k + (p->half.block.biases != NULL), width = whole_vectors(d);
    const int64_t slots = whole_vectors(p->half.block.slots), stride = whole_vectors(p->half.block.slots + 2);
    struct desk desk = {.d = d, .gathered = {.most = slots, .width = width}, .equations = {.stride = stride}};
    struct gathered *g = &desk.gathered;
    struct equations *e = &desk.equations;
    const int64_t square = p->basis ? d * width : 0;
    float *memory = allocate(2 * slots * (width + 1) + square + 6 * width + p->half.block.slots * stride + 3 * stride);
    if (!memory) return -1;
    float *end = memory;
    TAKE(g->q, slots * width);
    TAKE(g->y, slots);
    TAKE(g->w, slots);
    TAKE(desk.basis, square);
    TAKE(desk.x, slots * width);
    TAKE(desk.scaled, width);
    TAKE(desk.shrink, width);
    TAKE(desk.mean, width);
    TAKE(desk.start, width);
    TAKE(desk.v, width);
    TAKE(desk.z, width);
    TAKE(e->matrix, p->half.block.slots * stride);
    TAKE(e->inverse, stride);
    TAKE(e->right, stride);
    TAKE(e->z, stride);
    memset(memory, 0, (char *)end - (char *)memory);
    if (p->basis) {
        pad(desk.basis, p->basis, d, width);
    } else {
        desk.x = g->q;
        desk.z = desk.v;
    }
    p->half.squared_error = 0;
    int failed = 0;
    for (int64_t row = 0; row < p->half.block.n_rows; row++) failed |= !solve(p, row, &desk);
    free(memory);
    return failed;
}

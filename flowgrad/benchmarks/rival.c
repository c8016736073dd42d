/* The hand-written rival: loss and all gradients of a tanh network over tiles of 16 samples, rows of a tile a node.
   One thread sweeps the whole graph over its own tiles; backward pulls, as ours does. gcc -O3 -march=native
   -ffast-math -fopenmp; vectors by GCC's extension, as wide as the machine's registers. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#ifdef __AVX512F__
enum { T = 16, W = 16 };
#elif defined(__AVX__)
enum { T = 16, W = 8 };
#else
enum { T = 16, W = 4 };
#endif
enum { M = T / W };
typedef float V __attribute__((vector_size(4 * W)));
typedef struct { V v[M]; } Row;
#define LANES for (int m = 0; m < M; m++)

static inline void activate(Row *a)
{
    float *x = (float *)a;
#pragma omp simd
    for (int j = 0; j < T; j++) x[j] = tanhf(x[j]);
}
static inline float sum(V v)
{
#if defined(__AVX512F__)
    typedef float H __attribute__((vector_size(32)));
    H h = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) + __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
#elif defined(__AVX__)
    V h = v;
#endif
    typedef float Q __attribute__((vector_size(16)));
#if defined(__AVX__)
    Q q = __builtin_shufflevector(h, h, 0, 1, 2, 3) + __builtin_shufflevector(h, h, 4, 5, 6, 7);
#else
    Q q = v;
#endif
    q += __builtin_shufflevector(q, q, 2, 3, 2, 3);
    return q[0] + q[1];
}
static inline float dot(const Row *x, const Row *y)
{
    V s = x->v[0] * y->v[0];
    for (int m = 1; m < M; m++) s += x->v[m] * y->v[m];
    return sum(s);
}
void *rows(long n)
{
    void *p = aligned_alloc(64, (n * sizeof(Row) + 63) / 64 * 64);
    memset(p, 0, n * sizeof(Row));
    return p;
}

/* in_ptr, source, w by target; out_ptr, target, edge by source; slot[v] is v's place among the outputs, or -1.
   A, D: tiles x nodes rows; Y: tiles x outputs rows; gw: threads x edges; gb: threads x nodes. */
double step(long n, long inputs, long edges, long outputs, const long *in_ptr, const int *source, const long *out_ptr,
            const int *target, const int *edge, const int *slot, const float *w, const float *b, float *turned,
            long tiles, Row *A, Row *D, const Row *Y, float *gw, float *gb, float *dw, float *db, int threads)
{
    double loss = 0;
#pragma omp parallel for num_threads(threads)
    for (long k = 0; k < edges; k++) turned[k] = w[edge[k]];
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(+ : loss)
    for (int thread = 0; thread < threads; thread++) {
        float *mw = gw + thread * edges, *mb = gb + thread * n;
        memset(mw, 0, edges * sizeof(float));
        memset(mb, 0, n * sizeof(float));
        for (long tile = thread; tile < tiles; tile += threads) {
            Row *a = A + tile * n, *d = D + tile * n;
            const Row *y = Y + tile * outputs;
            for (long v = inputs; v < n; v++) {
                V z[M];
                LANES z[m] = (V){} + b[v];
                for (long e = in_ptr[v]; e < in_ptr[v + 1]; e++) LANES z[m] += w[e] * a[source[e]].v[m];
                LANES a[v].v[m] = z[m];
                activate(a + v);
            }
            for (long v = n - 1; v >= 0; v--) {
                Row h = a[v], g = {};
                if (slot[v] >= 0) {
                    LANES g.v[m] = h.v[m] - y[slot[v]].v[m];
                    loss += 0.5 * dot(&g, &g);
                }
                for (long k = out_ptr[v]; k < out_ptr[v + 1]; k++) {
                    const Row *z = d + target[k];
                    LANES g.v[m] += turned[k] * z->v[m];
                    mw[k] += dot(z, &h);
                }
                if (v >= inputs) {
                    LANES g.v[m] *= 1 - h.v[m] * h.v[m];
                    V s = g.v[0];
                    for (int m = 1; m < M; m++) s += g.v[m];
                    mb[v] += sum(s);
                }
                d[v] = g;
            }
        }
    }
    float scale = 1.0f / (T * tiles);
#pragma omp parallel for num_threads(threads)
    for (long k = 0; k < edges; k++) {
        float s = 0;
        for (int t = 0; t < threads; t++) s += gw[t * edges + k];
        dw[edge[k]] = s * scale;
    }
#pragma omp parallel for num_threads(threads)
    for (long v = 0; v < n; v++) {
        float s = 0;
        for (int t = 0; t < threads; t++) s += gb[t * n + v];
        db[v] = s * scale;
    }
    return loss * scale;
}

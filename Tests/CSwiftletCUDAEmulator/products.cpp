// products.cpp: a plain cublasLt: the calls that a product of activations and weights takes, in float32 sums.
//
// Matrices are column-major. Invariant: only what the backend asks for is accepted: op T of A, float32 results.

#include <cstring>

#include "emulator.h"

namespace emulator {

namespace {

enum : int { done = 0, bad_value = 7, not_supported = 15, execution_failed = 13 };
enum : int { F32 = 0, BF16 = 14, COMPUTE_F32 = 68 };

struct Description {
    int transposes_a = 0, transposes_b = 0;
};
struct Layout {
    int type;
    uint64_t rows, columns;
    int64_t stride;
};

struct Preference {
    size_t workspace = 0;
    uint32_t alignment = 256;  // of B
};

/// cublasLtMatmulHeuristicResult_t. Of the algorithm the first number is its own, the second B's alignment.
struct Heuristic {
    uint64_t algorithm[8];
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};
static_assert(sizeof(Heuristic) == 96);

size_t version() { return 130100; }

template <typename Object>
int release(void *object) {
    delete (Object *)object;
    count_object(-1);
    return done;
}

int create(void **handle) {
    if (enter(Call::any) != success) return 1;
    *handle = new int;
    count_object(1);
    return done;
}

int create_description(void **handle, int compute, int scale) {
    if (compute != COMPUTE_F32 || scale != F32) return not_supported;
    *handle = new Description;
    count_object(1);
    return done;
}

int set_description(void *handle, int attribute, const void *value, size_t size) {
    Description *description = (Description *)handle;
    if (size != 4) return bad_value;
    int number;
    memcpy(&number, value, 4);
    switch (attribute) {
    case 3: description->transposes_a = number; return done;
    case 4: description->transposes_b = number; return done;
    default: return not_supported;
    }
}

int create_layout(void **handle, int type, uint64_t rows, uint64_t columns, int64_t stride) {
    if ((type != F32 && type != BF16) || stride < (int64_t)rows) return bad_value;
    *handle = new Layout{type, rows, columns, stride};
    count_object(1);
    return done;
}

int create_preference(void **handle) {
    *handle = new Preference;
    count_object(1);
    return done;
}

int set_preference(void *handle, int attribute, const void *value, size_t size) {
    Preference *preference = (Preference *)handle;
    if (attribute == 1 && size == sizeof preference->workspace) memcpy(&preference->workspace, value, size);
    else if (attribute == 6 && size == sizeof preference->alignment) memcpy(&preference->alignment, value, size);
    else return not_supported;
    return done;
}

bool fits(const Description &description, const Layout &a, const Layout &b, const Layout &c, const Layout &d) {
    return description.transposes_a == 1 && description.transposes_b == 0 && a.type == b.type && d.type == F32 &&
           c.type == F32 && a.rows == b.rows && d.rows == a.columns && d.columns == b.columns && c.rows == d.rows &&
           c.columns == d.columns;
}

int find_algorithms(void *, void *description, void *a, void *b, void *c, void *d, void *preference, int wanted,
                    Heuristic *results, int *count) {
    *count = 0;
    if (!fits(*(Description *)description, *(Layout *)a, *(Layout *)b, *(Layout *)c, *(Layout *)d)) return not_supported;
    for (; *count < wanted && *count < 2; (*count)++) {
        results[*count] = {};
        results[*count].algorithm[0] = 1 + (uint64_t)*count;
        results[*count].algorithm[1] = ((Preference *)preference)->alignment;
    }
    return done;
}

/// cublasLtMatmulAlgoCheck.
int check_algorithm(void *, void *description, void *a, void *b, void *c, void *d, const uint64_t *algorithm,
                    Heuristic *result) {
    if (!fits(*(Description *)description, *(Layout *)a, *(Layout *)b, *(Layout *)c, *(Layout *)d)) return not_supported;
    if (algorithm[0] < 1 || algorithm[0] > 2) return bad_value;
    *result = {};
    memcpy(result->algorithm, algorithm, sizeof result->algorithm);
    return done;
}

float element(const void *matrix, int type, size_t i) {
    if (type == F32) return ((const float *)matrix)[i];
    unsigned bits = (unsigned)((const unsigned short *)matrix)[i] << 16;
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

/// d = alpha aᵀ b + beta c, one dot product after the other.
void multiply(const Layout &a, const void *weights, const Layout &b, const void *x, const Layout &c, const float *before,
              const Layout &d, float *out, float alpha, float beta) {
    size_t depth = a.rows;
    std::vector<float> row(depth), column(depth);
    for (size_t i = 0; i < d.rows; i++) {
        for (size_t k = 0; k < depth; k++) row[k] = element(weights, a.type, i * (size_t)a.stride + k);
        for (size_t j = 0; j < d.columns; j++) {
            float sum = 0;
            for (size_t k = 0; k < depth; k++) sum += row[k] * element(x, b.type, j * (size_t)b.stride + k);
            float old = beta != 0 ? beta * before[j * (size_t)c.stride + i] : 0.0f;
            out[j * (size_t)d.stride + i] = alpha * sum + old;
        }
    }
}

int multiply_matrices(void *, void *description, const float *alpha, const void *a, void *a_layout, const void *b,
                      void *b_layout, const float *beta, const void *c, void *c_layout, void *d, void *d_layout,
                      const uint64_t *algorithm, void *, size_t, void *stream) {
    Layout la = *(Layout *)a_layout, lb = *(Layout *)b_layout, lc = *(Layout *)c_layout, ld = *(Layout *)d_layout;
    if (!fits(*(Description *)description, la, lb, lc, ld)) return not_supported;
    if (algorithm && (algorithm[0] < 1 || algorithm[0] > 2)) return bad_value;
    if (algorithm && algorithm[1] != 0 && (uintptr_t)b % algorithm[1] != 0) return bad_value;
    if (enter(Call::any) != success) return execution_failed;
    float scale = *alpha, keep = *beta;
    int status = enqueue(stream, [=] {
        multiply(la, a, lb, b, lc, (const float *)c, ld, (float *)d, scale, keep);
        return success;
    });
    return status == success ? done : execution_failed;
}

}  // namespace

const std::vector<Symbol> &product_symbols() {
    static const std::vector<Symbol> symbols = {
        {"cublasLtGetVersion", (void *)version},
        {"cublasLtCreate", (void *)create},
        {"cublasLtDestroy", (void *)release<int>},
        {"cublasLtMatmulDescCreate", (void *)create_description},
        {"cublasLtMatmulDescDestroy", (void *)release<Description>},
        {"cublasLtMatmulDescSetAttribute", (void *)set_description},
        {"cublasLtMatrixLayoutCreate", (void *)create_layout},
        {"cublasLtMatrixLayoutDestroy", (void *)release<Layout>},
        {"cublasLtMatmulPreferenceCreate", (void *)create_preference},
        {"cublasLtMatmulPreferenceDestroy", (void *)release<Preference>},
        {"cublasLtMatmulPreferenceSetAttribute", (void *)set_preference},
        {"cublasLtMatmulAlgoGetHeuristic", (void *)find_algorithms},
        {"cublasLtMatmulAlgoCheck", (void *)check_algorithm},
        {"cublasLtMatmul", (void *)multiply_matrices},
    };
    return symbols;
}

}  // namespace emulator

// Winograd's 3x3 convolution, block by block: the tiles of a block are cut and transformed, multiplied and transformed
// back while they stay in the cache of one core. winograd_kernel.py writes INPUTS (B^T) and OUTPUTS (A^T), the
// transforms of winograd.py, above this text and compiles it; winograd.py explains the algorithm.
//
// Pictures are (B, H, W, C) and (B, H, W, K), H and W multiples of 4, C and K multiples of PANEL. Kernels are packed:
// (36, K / PANEL, C, PANEL). A block's tiles are (36, block, C), its products (36, block, K).

#include <algorithm>
#include <cstdint>
#include <type_traits>

constexpr int TILE = 4, REACH = 6, PRODUCTS = REACH * REACH, PANEL = 32;

// Bytes of a register, and how many of them hold sums while a product runs.
#ifdef __AVX512F__
constexpr int BYTES = 64, SUMS = 24;
#else
constexpr int BYTES = 32, SUMS = 12;
#endif

// What is indexed by a loop's variable stays in registers only if the loop is written out.
#define WRITTEN_OUT _Pragma("GCC unroll 64")

// `Number`s that are computed together; in memory they may lie anywhere.
template <class Number>
struct Lanes {
    typedef Number Type __attribute__((vector_size(BYTES)));
    typedef Number Unaligned __attribute__((vector_size(BYTES), aligned(sizeof(Number)), may_alias));
    static constexpr int COUNT = BYTES / sizeof(Number);
};

template <class Number>
inline typename Lanes<Number>::Type load(const Number *from) {
    return *reinterpret_cast<const typename Lanes<Number>::Unaligned *>(from);
}

template <class Number>
inline void store(Number *to, typename Lanes<Number>::Type lanes) {
    *reinterpret_cast<typename Lanes<Number>::Unaligned *>(to) = lanes;
}

// transform (rows, columns) times a column of lanes; entries of either lie `from_step` and `to_step` apart.
template <int rows, int columns, class Vector>
inline void transformed(const double (&transform)[rows][columns], const Vector *from, int from_step, Vector *to,
                        int to_step) {
    using Number = std::remove_reference_t<decltype((*from)[0])>;
    WRITTEN_OUT for (int row = 0; row < rows; ++row) {
        Vector sum = {};
        WRITTEN_OUT for (int column = 0; column < columns; ++column)
            if (transform[row][column] != 0) sum += Number(transform[row][column]) * from[column * from_step];
        to[row * to_step] = sum;
    }
}

// B^T d B of the tile at (top, left) of a picture (H, W, C), to rows of `tiles` that lie `stride` apart.
template <class Number>
void cut(const Number *picture, Number *tiles, int64_t stride, int64_t top, int64_t left, int64_t height, int64_t width,
         int64_t channels) {
    using Vector = typename Lanes<Number>::Type;
    for (int64_t channel = 0; channel < channels; channel += Lanes<Number>::COUNT) {
        Vector tile[PRODUCTS], half[PRODUCTS];
        WRITTEN_OUT for (int place = 0; place < PRODUCTS; ++place) {
            const int64_t row = top - 1 + place / REACH, column = left - 1 + place % REACH;
            const bool is_inside = 0 <= row && row < height && 0 <= column && column < width;
            tile[place] = is_inside ? load(picture + (row * width + column) * channels + channel) : Vector{};
        }
        WRITTEN_OUT for (int column = 0; column < REACH; ++column)
            transformed(INPUTS, tile + column, REACH, half + column, REACH);
        WRITTEN_OUT for (int row = 0; row < REACH; ++row)
            transformed(INPUTS, half + row * REACH, 1, tile + row * REACH, 1);
        WRITTEN_OUT for (int place = 0; place < PRODUCTS; ++place) store(tiles + place * stride + channel, tile[place]);
    }
}

// A^T m A of products m in rows that lie `stride` apart, to the tile at (top, left) of a picture (H, W, K).
template <class Number>
void join(const Number *products, Number *picture, int64_t stride, int64_t top, int64_t left, int64_t width,
          int64_t channels) {
    using Vector = typename Lanes<Number>::Type;
    for (int64_t channel = 0; channel < channels; channel += Lanes<Number>::COUNT) {
        Vector product[PRODUCTS], half[TILE * REACH], tile[TILE * TILE];
        WRITTEN_OUT for (int place = 0; place < PRODUCTS; ++place)
            product[place] = load(products + place * stride + channel);
        WRITTEN_OUT for (int column = 0; column < REACH; ++column)
            transformed(OUTPUTS, product + column, REACH, half + column, REACH);
        WRITTEN_OUT for (int row = 0; row < TILE; ++row)
            transformed(OUTPUTS, half + row * REACH, 1, tile + row * TILE, 1);
        WRITTEN_OUT for (int place = 0; place < TILE * TILE; ++place) {
            const int64_t pixel = (top + place / TILE) * width + left + place % TILE;
            store(picture + pixel * channels + channel, tile[place]);
        }
    }
}

// products (rows, PANEL) = tiles (rows, C) times a panel (C, PANEL), rows of the products `stride` apart.
template <int rows, class Number>
void multiply(const Number *tiles, const Number *panel, Number *products, int64_t channels, int64_t stride) {
    constexpr int COUNT = Lanes<Number>::COUNT, ACROSS = PANEL / COUNT;
    typename Lanes<Number>::Type sums[rows][ACROSS] = {};
    for (int64_t channel = 0; channel < channels; ++channel)
        WRITTEN_OUT for (int row = 0; row < rows; ++row)
            WRITTEN_OUT for (int part = 0; part < ACROSS; ++part)
                sums[row][part] += tiles[row * channels + channel] * load(panel + channel * PANEL + part * COUNT);
    WRITTEN_OUT for (int row = 0; row < rows; ++row)
        WRITTEN_OUT for (int part = 0; part < ACROSS; ++part)
            store(products + row * stride + part * COUNT, sums[row][part]);
}

// The same with as many rows at once as there are registers, and at last with those that are left.
template <int rows, class Number>
void multiply_all(int64_t left, const Number *tiles, const Number *panel, Number *products, int64_t channels,
                  int64_t stride) {
    for (; left >= rows; left -= rows, tiles += rows * channels, products += rows * stride)
        multiply<rows>(tiles, panel, products, channels, stride);
    if constexpr (rows > 1)
        if (left) multiply_all<rows - 1>(left, tiles, panel, products, channels, stride);
}

// workspace: (threads, 36 * block * (C + K)).
template <class Number>
void convolve(const Number *inputs, const Number *kernels, Number *outputs, Number *workspace, int64_t num,
              int64_t height, int64_t width, int64_t num_in, int64_t num_out, int64_t block, int64_t threads) {
    const int64_t across = width / TILE, a_picture = height / TILE * across, all = num * a_picture;
    const int64_t num_blocks = (all + block - 1) / block, own = PRODUCTS * block * (num_in + num_out);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t thread = 0; thread < threads; ++thread) {
        Number *tiles = workspace + thread * own, *products = tiles + PRODUCTS * block * num_in;
        for (int64_t one = num_blocks * thread / threads; one < num_blocks * (thread + 1) / threads; ++one) {
            const int64_t first = one * block, size = std::min(block, all - first);
            for (int64_t tile = 0; tile < size; ++tile) {
                const int64_t picture = (first + tile) / a_picture, place = (first + tile) % a_picture;
                cut(inputs + picture * height * width * num_in, tiles + tile * num_in, size * num_in,
                    place / across * TILE, place % across * TILE, height, width, num_in);
            }
            for (int64_t product = 0; product < PRODUCTS; ++product)
                for (int64_t channel = 0; channel < num_out; channel += PANEL)
                    multiply_all<SUMS * Lanes<Number>::COUNT / PANEL>(
                        size, tiles + product * size * num_in, kernels + (product * num_out + channel) * num_in,
                        products + product * size * num_out + channel, num_in, num_out);
            for (int64_t tile = 0; tile < size; ++tile) {
                const int64_t picture = (first + tile) / a_picture, place = (first + tile) % a_picture;
                join(products + tile * num_out, outputs + picture * height * width * num_out, size * num_out,
                     place / across * TILE, place % across * TILE, width, num_out);
            }
        }
    }
}

extern "C" void convolve_float(const float *inputs, const float *kernels, float *outputs, float *workspace, int64_t num,
                               int64_t height, int64_t width, int64_t num_in, int64_t num_out, int64_t block,
                               int64_t threads) {
    convolve(inputs, kernels, outputs, workspace, num, height, width, num_in, num_out, block, threads);
}

extern "C" void convolve_double(const double *inputs, const double *kernels, double *outputs, double *workspace,
                                int64_t num, int64_t height, int64_t width, int64_t num_in, int64_t num_out,
                                int64_t block, int64_t threads) {
    convolve(inputs, kernels, outputs, workspace, num, height, width, num_in, num_out, block, threads);
}

// What attention's CUDA kernels are made of: tiles in shared memory, a warp's products of them, which tile a block takes
// and which pairs see each other. attention_cuda.cu puts them together.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "attention.h"
#include "cpu.h"
#include "tensor_cores.cuh"

namespace jarvis::attention {
namespace {

constexpr int kWarp = 32, kWarps = 4, kThreads = kWarps * kWarp;
constexpr unsigned kAllLanes = 0xffffffffu;
constexpr float kLog2e = 1.4426950408889634f, kLn2 = 0.6931471805599453f;
constexpr int64_t kCacheBytes = 16 << 20;  // of the second level, for the keys and values of heads that run together

// ---- Tiles in shared memory: rows of D two-byte values ----

// The byte where 16-byte piece `piece` of row `row` lies. The pieces of a row are permuted by the row's number, so that
// the same piece of eight rows lies in eight different banks.
template <int D>
__device__ __forceinline__ uint32_t place(int row, int piece) {
  return row * (2 * D) + ((piece ^ (row % 8)) * 16);
}

template <class T>
__device__ __forceinline__ T* head_of(const Heads<T>& tensor, int64_t b, int64_t h) {
  return tensor.data + b * tensor.batch + h * tensor.head;
}

// Positions `begin` … of a head into a tile of kRows rows; zeros from position `end` on.
template <int D, int kRows, class T>
__device__ __forceinline__ void copy_rows(uint32_t tile, const T* head, int64_t stride, int begin, int end) {
  constexpr int kPieces = D / 8;
#pragma unroll
  for (int i = 0; i < kRows * kPieces / kThreads; ++i) {
    const int row = threadIdx.x / kPieces + i * (kThreads / kPieces), piece = threadIdx.x % kPieces;
    const bool there = begin + row < end;
    copy_16_bytes(tile + place<D>(row, piece), head + (there ? begin + row : 0) * stride + piece * 8, there);
  }
}

// Values `begin` … of a row of 4-byte numbers, as copy_rows.
template <int kCount, class Number>
__device__ __forceinline__ void copy_numbers(uint32_t to, const Number* from, int begin, int end) {
  const int i = threadIdx.x;
  if (i < kCount) copy_4_bytes(to + 4 * i, from + (begin + i < end ? begin + i : 0), begin + i < end);
}

// Where a lane's address for load_matrices lies in a block of 16 x 16 values. The quarters of the block arrive in the
// order of the fragment: the lower left second …
template <int D>
__device__ __forceinline__ uint32_t left_place() {
  const int lane = threadIdx.x % kWarp;
  return place<D>(lane % 16, lane / 16);
}

// … or the upper right second, so that both registers of a right operand that lies as rows are neighbours: the product
// takes a pair of neighbours, and would have to move them otherwise.
template <int D>
__device__ __forceinline__ uint32_t right_place() {
  const int lane = threadIdx.x % kWarp;
  return place<D>(lane / 16 * 8 + lane % 8, lane / 8 % 2);
}

// The same for the block at (16 block_row, 16 block_column) of a tile: a column further flips bits that neither the row
// nor the tile's beginning uses.
template <int D>
__device__ __forceinline__ uint32_t block_address(uint32_t tile, uint32_t lane_place, int block_row, int block_column) {
  return ((tile + lane_place) ^ (block_column * 32)) + block_row * (32 * D);
}

// The left operand of a product, kM x 16 rows of D values: read again from shared memory each time …
template <int D, int kM>
struct RowsInShared {
  uint32_t tile, lane_place;

  __device__ __forceinline__ void get(int m, int k, uint32_t (&a)[4]) const {
    load_matrices(a, block_address<D>(tile, lane_place, m, k));
  }
};

// … or held in registers.
template <int D, int kM>
struct RowsInRegisters {
  uint32_t held[kM][D / 16][4];

  __device__ __forceinline__ RowsInRegisters(uint32_t tile, uint32_t lane_place) {
#pragma unroll
    for (int m = 0; m < kM; ++m)
#pragma unroll
      for (int k = 0; k < D / 16; ++k) load_matrices(held[m][k], block_address<D>(tile, lane_place, m, k));
  }

  __device__ __forceinline__ void get(int m, int k, uint32_t (&a)[4]) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) a[i] = held[m][k][i];
  }
};

// ---- Products. A warp's result c[m][n] is the 16 x 8 block (m, n) as tensor_cores.cuh lays it out ----

// c = left rightᵀ, where right is a tile of N rows.
template <class T, int D, int kM, int N, class Left>
__device__ __forceinline__ void rows_times_rows(float (&c)[kM][N / 8][4], const Left& left, uint32_t right,
                                                uint32_t right_place) {
#pragma unroll
  for (int m = 0; m < kM; ++m)
#pragma unroll
    for (int n = 0; n < N / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) c[m][n][i] = 0.0f;
#pragma unroll
  for (int k = 0; k < D / 16; ++k) {
    uint32_t a[kM][4], b[4];
#pragma unroll
    for (int m = 0; m < kM; ++m) left.get(m, k, a[m]);
#pragma unroll
    for (int n = 0; n < N / 16; ++n) {
      load_matrices(b, block_address<D>(right, right_place, n, k));
#pragma unroll
      for (int m = 0; m < kM; ++m) {
        multiply_add<T>(c[m][2 * n], a[m], b[0], b[1]);
        multiply_add<T>(c[m][2 * n + 1], a[m], b[2], b[3]);
      }
    }
  }
}

// c += left right, where left is the result of a product, rounded to T, and right a tile of N rows of D values.
template <class T, int D, int kM, int N>
__device__ __forceinline__ void add_product(float (&c)[kM][D / 8][4], const float (&left)[kM][N / 8][4], uint32_t right,
                                            uint32_t lane_place) {
#pragma unroll
  for (int k = 0; k < N / 16; ++k) {
    uint32_t a[kM][4], b[4];
#pragma unroll
    for (int m = 0; m < kM; ++m)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        a[m][i] = pack<T>(left[m][2 * k + i / 2][2 * (i % 2)], left[m][2 * k + i / 2][2 * (i % 2) + 1]);
#pragma unroll
    for (int n = 0; n < D / 16; ++n) {
      load_matrices_transposed(b, block_address<D>(right, lane_place, k, n));
#pragma unroll
      for (int m = 0; m < kM; ++m) {
        multiply_add<T>(c[m][2 * n], a[m], b[0], b[1]);
        multiply_add<T>(c[m][2 * n + 1], a[m], b[2], b[3]);
      }
    }
  }
}

template <int kM, int kBlocks>
__device__ __forceinline__ void clear(float (&c)[kM][kBlocks][4]) {
#pragma unroll
  for (int m = 0; m < kM; ++m)
#pragma unroll
    for (int n = 0; n < kBlocks; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) c[m][n][i] = 0.0f;
}

// The warp's kM x 16 rows times `factor` to positions `begin` … of a head, up to `end`; by way of the warp's own rows
// of a tile in shared memory, so that 16 bytes go out at a time. The warp alone has read those rows before.
template <class T, int D, int kM>
__device__ __forceinline__ void write_rows(const float (&c)[kM][D / 8][4], const float (&factor)[kM][2],
                                           unsigned char* rows, T* head, int64_t stride, int begin, int end) {
  constexpr int kPieces = D / 8;
  const int lane = threadIdx.x % kWarp;
  __syncwarp();
#pragma unroll
  for (int m = 0; m < kM; ++m)
#pragma unroll
    for (int n = 0; n < D / 8; ++n)
#pragma unroll
      for (int r = 0; r < 2; ++r)
        *reinterpret_cast<uint32_t*>(rows + place<D>(16 * m + 8 * r + lane / 4, n) + lane % 4 * 4) =
            pack<T>(c[m][n][2 * r] * factor[m][r], c[m][n][2 * r + 1] * factor[m][r]);
  __syncwarp();
#pragma unroll
  for (int i = 0; i < kM * 16 * kPieces / kWarp; ++i) {
    const int row = lane / kPieces + i * (kWarp / kPieces), piece = lane % kPieces;
    if (begin + row < end)
      *reinterpret_cast<uint4*>(head + (begin + row) * stride + piece * 8) =
          *reinterpret_cast<const uint4*>(rows + place<D>(row, piece));
  }
}

// ---- Which tile a block takes, and what it sees ----

// `tiles` of each of `heads` heads. A group of heads, whose keys and values fit in the cache together, goes through all
// its tiles before the next group begins; within it the same tile of all heads runs side by side, tile 0 first.
struct Order {
  unsigned heads, tiles, group;
};

__device__ __forceinline__ void find(const Order& order, int& tile, int& head) {
  const unsigned begin = blockIdx.x / (order.group * order.tiles) * order.group;
  const unsigned in_group = min(order.group, order.heads - begin), rest = blockIdx.x - begin * order.tiles;
  tile = rest / in_group;
  head = begin + rest % in_group;
}

// Query t sees the keys from first[t] (0 without `first`) to past + t. Both bounds never fall along t.
struct Sight {
  const int32_t* first;
  int past, queries;

  __device__ __forceinline__ int lowest(int t) const { return first ? first[min(t, queries - 1)] : 0; }
  __device__ __forceinline__ int highest(int t) const { return past + min(t, queries - 1); }
};

__device__ __forceinline__ Sight sight_of(const Shape& shape, int b) {
  return {shape.first ? shape.first + b * shape.T : nullptr, static_cast<int>(shape.S - shape.T),
          static_cast<int>(shape.T)};
}

// Of the keys key … key + n - 1: whether any of a warp's queries t … t + rows - 1 sees any, and whether all see all.
struct Span {
  int t, rows, any_from, all_from;

  __device__ __forceinline__ Span(const Sight& sight, int t, int rows)
      : t(t), rows(rows), any_from(sight.lowest(t)), all_from(sight.lowest(t + rows - 1)) {}
  __device__ __forceinline__ bool any(const Sight& sight, int key, int n) const {
    return key <= sight.highest(t + rows - 1) && key + n > any_from;
  }
  __device__ __forceinline__ bool all(const Sight& sight, int key, int n) const {
    return key + n - 1 <= sight.highest(t) && key >= all_from;
  }
};

// Puts `hidden` where a query (row) does not see a key (column), in a warp's scores of queries t … and keys key ….
template <int kM, int N>
__device__ __forceinline__ void hide(float (&c)[kM][N / 8][4], const Sight& sight, int t, int key, float hidden) {
  const int row = t + threadIdx.x % kWarp / 4, column = key + threadIdx.x % 4 * 2;
#pragma unroll
  for (int m = 0; m < kM; ++m)
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int lowest = sight.lowest(row + 16 * m + 8 * r), highest = sight.highest(row + 16 * m + 8 * r);
#pragma unroll
      for (int n = 0; n < N / 8; ++n)
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const int k = column + 8 * n + i;
          if (k < lowest || k > highest) c[m][n][2 * r + i] = hidden;
        }
    }
}

}  // namespace
}  // namespace jarvis::attention

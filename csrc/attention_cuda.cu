// Flash attention on the tensor cores of sm_80 and later, forward and backward, no atomics. Torch-free; bindings.cpp
// hands over pointers and a stream. The maths and the design: docs/attention.md.
//
// A block of four warps owns a tile of rows, 16 or 32 a warp, and walks over tiles of columns, which the next copy into
// shared memory brings while the warps compute. Rows are queries in the forward and in dq, keys in dk and dv: so every
// sum stays in the registers of one warp, and what a product leaves there is the left operand of the next one.
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>

#include "attention.h"
#include "attention_tiles.cuh"
#include "cpu.h"
#include "launch.cuh"
#include "tensor_cores.cuh"

namespace jarvis::attention {
namespace {

// ---- Forward ----

template <int D>
struct ForwardTile {
  static constexpr int kM = 2, kRows = kWarps * 16 * kM, kKeys = D == 64 ? 64 : 32;
  static constexpr int kKeyBytes = kKeys * D * 2, kStage = 2 * kKeyBytes, kQueryBytes = kRows * D * 2;
  static constexpr int kShared = kQueryBytes + 2 * kStage;
  // At D = 128 the queries would take 64 registers beside 128 of the result and 64 of the scores.
  using Queries = std::conditional_t<D == 64, RowsInRegisters<D, kM>, RowsInShared<D, kM>>;
};

// Rows of a running softmax, in base 2: the sum of 2^(score - maximum) over the keys that this lane saw.
template <int kM>
struct Softmax {
  float maximum[kM][2], sum[kM][2];
};

// The scores, times factor (positive), become probabilities up to the row's sum; the running sums and the result so far
// are brought to the new maximum. A maximum that grew by less than kSlack is left: 2^8 overflows nowhere, and most
// tiles then need no rescaling.
template <int kM, int N, int kBlocks>
__device__ __forceinline__ void absorb(float (&s)[kM][N / 8][4], float factor, Softmax<kM>& state,
                                       float (&out)[kM][kBlocks][4]) {
  constexpr float kSlack = 8.0f;
  float top[kM][2];
  bool grew = false;
#pragma unroll
  for (int m = 0; m < kM; ++m)
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float most = -INFINITY;
#pragma unroll
      for (int n = 0; n < N / 8; ++n) most = fmaxf(most, fmaxf(s[m][n][2 * r], s[m][n][2 * r + 1]));
      most = fmaxf(most, __shfl_xor_sync(kAllLanes, most, 1));
      most = fmaxf(most, __shfl_xor_sync(kAllLanes, most, 2));
      top[m][r] = most * factor;
      grew = grew || top[m][r] > state.maximum[m][r] + kSlack;
    }
  if (__any_sync(kAllLanes, grew)) {
#pragma unroll
    for (int m = 0; m < kM; ++m)
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const float before = state.maximum[m][r], now = fmaxf(before, top[m][r]);
        const float rescale = before == -INFINITY ? 0.0f : exp2_fast(before - now);
        state.maximum[m][r] = now;
        state.sum[m][r] *= rescale;
#pragma unroll
        for (int n = 0; n < kBlocks; ++n) {
          out[m][n][2 * r] *= rescale;
          out[m][n][2 * r + 1] *= rescale;
        }
      }
  }
#pragma unroll
  for (int m = 0; m < kM; ++m)
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      // A row that has seen no key yet has no maximum; its scores are all -infinity.
      const float from = state.maximum[m][r] == -INFINITY ? 0.0f : state.maximum[m][r];
#pragma unroll
      for (int n = 0; n < N / 8; ++n)
#pragma unroll
        for (int i = 2 * r; i < 2 * r + 2; ++i) {
          s[m][n][i] = exp2_fast(fmaf(s[m][n][i], factor, -from));
          state.sum[m][r] += s[m][n][i];
        }
    }
}

template <class T, int D>
__global__ void __launch_bounds__(kThreads, 2) forward_kernel(Forward<T> a, Order order) {
  using Tile = ForwardTile<D>;
  constexpr int kM = Tile::kM, N = Tile::kKeys;
  int tile, head;
  find(order, tile, head);
  tile = order.tiles - 1 - tile;  // the last queries see the most keys
  const int b = head / static_cast<int>(a.H), h = head % static_cast<int>(a.H), kv = h / static_cast<int>(a.H / a.Hkv);
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, S = static_cast<int>(a.S);
  const int top = tile * Tile::kRows, t = top + warp * 16 * kM;
  const Sight sight = sight_of(a, b);
  const Span span(sight, t, 16 * kM);
  const int begin = sight.lowest(top) / N, end = sight.highest(top + Tile::kRows - 1) / N + 1;

  const uint32_t queries = shared_address(dynamic_shared()), keys = queries + Tile::kQueryBytes;
  const uint32_t lane_place = left_place<D>(), across = right_place<D>();
  const T* k_head = head_of(a.k, b, kv);
  const T* v_head = head_of(a.v, b, kv);
  const auto copy_keys = [&](int j) {
    const uint32_t stage = keys + j % 2 * Tile::kStage;
    copy_rows<D, N>(stage, k_head, a.k.position, j * N, S);
    copy_rows<D, N>(stage + Tile::kKeyBytes, v_head, a.v.position, j * N, S);
    commit_copies();
  };
  copy_rows<D, Tile::kRows>(queries, head_of(a.q, b, h), a.q.position, top, sight.queries);
  copy_keys(begin);
  wait_for_copies<0>();
  __syncthreads();

  const typename Tile::Queries q{queries + warp * (32 * D * kM), lane_place};
  Softmax<kM> state;
  float out[kM][D / 8][4], s[kM][N / 8][4];
  clear(out);
#pragma unroll
  for (int m = 0; m < kM; ++m)
#pragma unroll
    for (int r = 0; r < 2; ++r) state.maximum[m][r] = -INFINITY, state.sum[m][r] = 0.0f;
  const float factor = fmaxf(fabsf(a.scale) * kLog2e, 1e-30f);  // not 0, which times -infinity is not a number

  for (int j = begin; j < end; ++j) {
    wait_for_copies<0>();
    __syncthreads();  // tile j has arrived for all, and all have done with tile j - 1: its place is free
    if (j + 1 < end) copy_keys(j + 1);
    if (!span.any(sight, j * N, N)) continue;
    const uint32_t stage = keys + j % 2 * Tile::kStage;
    rows_times_rows<T, D, kM, N>(s, q, stage, across);
    if (a.scale < 0.0f) {
#pragma unroll
      for (int m = 0; m < kM; ++m)
#pragma unroll
        for (int n = 0; n < N / 8; ++n)
#pragma unroll
          for (int i = 0; i < 4; ++i) s[m][n][i] = -s[m][n][i];
    }
    if (!span.all(sight, j * N, N)) hide<kM, N>(s, sight, t, j * N, -INFINITY);
    absorb<kM, N>(s, factor, state, out);
    add_product<T, D, kM, N>(out, s, stage + Tile::kKeyBytes, lane_place);
  }

  float inverse[kM][2];
  float* lse = a.lse + (b * a.H + h) * a.T;
#pragma unroll
  for (int m = 0; m < kM; ++m)
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float sum = state.sum[m][r];
      sum += __shfl_xor_sync(kAllLanes, sum, 1);
      sum += __shfl_xor_sync(kAllLanes, sum, 2);
      inverse[m][r] = 1.0f / sum;
      const int row = t + 16 * m + 8 * r + lane / 4;
      if (lane % 4 == 0 && row < sight.queries) lse[row] = (state.maximum[m][r] + log2f(sum)) * kLn2;
    }
  write_rows<T, D, kM>(out, inverse, dynamic_shared() + warp * (32 * D * kM), head_of(a.out, b, h), a.out.position, t,
                       sight.queries);
}

// ---- Backward ----

// The product of two pairs of values that lie in a register each.
template <class T>
__device__ __forceinline__ float dot(uint32_t x, uint32_t y) {
  const float2 a = unpack<T>(x), b = unpack<T>(y);
  return a.x * b.x + a.y * b.y;
}

// For each query (b, h, t): delta = Σ_D d_out · out and lse in base 2, side by side as the kernels below read them.
template <class T, int D>
__global__ void __launch_bounds__(kThreads) delta_kernel(Backward<T> a, float* delta, float* lse2) {
  constexpr int kLanes = D / 8;  // 8 values each
  const int64_t row = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / kLanes;  // (B, T, H): as out lies
  const bool there = row < a.B * a.T * a.H;
  const int64_t h = row % a.H, t = row / a.H % a.T, b = row / a.H / a.T;
  const int piece = threadIdx.x % kLanes * 8;
  float sum = 0.0f;
  if (there) {
    const T* out = head_of(a.out, b, h) + t * a.out.position + piece;
    const T* d_out = head_of(a.d_out, b, h) + t * a.d_out.position + piece;
    const uint4 x = *reinterpret_cast<const uint4*>(out), y = *reinterpret_cast<const uint4*>(d_out);
    sum = dot<T>(x.x, y.x) + dot<T>(x.y, y.y) + dot<T>(x.z, y.z) + dot<T>(x.w, y.w);
  }
#pragma unroll
  for (int step = kLanes / 2; step > 0; step /= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
  if (there && piece == 0) {
    const int64_t at = (b * a.H + h) * a.T + t;
    delta[at] = sum;
    lse2[at] = a.lse[at] * kLog2e;
  }
}

template <int D>
struct QueryTile {  // of dq
  static constexpr int kM = D == 64 ? 2 : 1, kRows = kWarps * 16 * kM, kKeys = D == 64 ? 32 : 64;
  static constexpr int kKeyBytes = kKeys * D * 2, kStage = 2 * kKeyBytes, kRowBytes = kRows * D * 2;
  static constexpr int kNumbers = 2 * kRowBytes + 2 * kStage;  // where lse2 and delta of the rows begin
  static constexpr int kShared = kNumbers + 2 * 4 * kRows;
};

// dq = scale · ds k, with ds = p ∘ (d_out vᵀ - delta).
template <class T, int D>
__global__ void __launch_bounds__(kThreads, 2) dq_kernel(Backward<T> a, Order order, const float* delta,
                                                         const float* lse2) {
  using Tile = QueryTile<D>;
  constexpr int kM = Tile::kM, N = Tile::kKeys;
  int tile, head;
  find(order, tile, head);
  tile = order.tiles - 1 - tile;
  const int b = head / static_cast<int>(a.H), h = head % static_cast<int>(a.H), kv = h / static_cast<int>(a.H / a.Hkv);
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, S = static_cast<int>(a.S);
  const int top = tile * Tile::kRows, t = top + warp * 16 * kM;
  const Sight sight = sight_of(a, b);
  const Span span(sight, t, 16 * kM);
  const int begin = sight.lowest(top) / N, end = sight.highest(top + Tile::kRows - 1) / N + 1;

  const uint32_t queries = shared_address(dynamic_shared()), gradients = queries + Tile::kRowBytes;
  const uint32_t keys = gradients + Tile::kRowBytes;
  const uint32_t lane_place = left_place<D>(), across = right_place<D>();
  const T* k_head = head_of(a.k, b, kv);
  const T* v_head = head_of(a.v, b, kv);
  const auto copy_keys = [&](int j) {
    const uint32_t stage = keys + j % 2 * Tile::kStage;
    copy_rows<D, N>(stage, k_head, a.k.position, j * N, S);
    copy_rows<D, N>(stage + Tile::kKeyBytes, v_head, a.v.position, j * N, S);
    commit_copies();
  };
  copy_rows<D, Tile::kRows>(queries, head_of(a.q, b, h), a.q.position, top, sight.queries);
  copy_rows<D, Tile::kRows>(gradients, head_of(a.d_out, b, h), a.d_out.position, top, sight.queries);
  const int64_t at = (b * a.H + h) * a.T;
  copy_numbers<Tile::kRows>(queries + Tile::kNumbers, lse2 + at, top, sight.queries);
  copy_numbers<Tile::kRows>(queries + Tile::kNumbers + 4 * Tile::kRows, delta + at, top, sight.queries);
  copy_keys(begin);

  wait_for_copies<0>();
  __syncthreads();

  const RowsInRegisters<D, kM> q{queries + warp * (32 * D * kM), lane_place};
  const RowsInRegisters<D, kM> d_out{gradients + warp * (32 * D * kM), lane_place};
  const float* row_lse2 = reinterpret_cast<const float*>(dynamic_shared() + Tile::kNumbers) + t - top + lane / 4;
  const float* row_delta = row_lse2 + Tile::kRows;
  float dq[kM][D / 8][4], p[kM][N / 8][4], dp[kM][N / 8][4];
  clear(dq);
  const float factor = a.scale * kLog2e;
  for (int j = begin; j < end; ++j) {
    wait_for_copies<0>();
    __syncthreads();  // as in the forward
    if (j + 1 < end) copy_keys(j + 1);
    if (!span.any(sight, j * N, N)) continue;
    const uint32_t stage = keys + j % 2 * Tile::kStage;
    rows_times_rows<T, D, kM, N>(p, q, stage, across);
#pragma unroll
    for (int m = 0; m < kM; ++m)
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const float subtract = row_lse2[16 * m + 8 * r];
#pragma unroll
        for (int n = 0; n < N / 8; ++n)
#pragma unroll
          for (int i = 2 * r; i < 2 * r + 2; ++i) p[m][n][i] = exp2_fast(fmaf(p[m][n][i], factor, -subtract));
      }
    if (!span.all(sight, j * N, N)) hide<kM, N>(p, sight, t, j * N, 0.0f);
    rows_times_rows<T, D, kM, N>(dp, d_out, stage + Tile::kKeyBytes, across);
#pragma unroll
    for (int m = 0; m < kM; ++m)
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const float subtract = row_delta[16 * m + 8 * r];
#pragma unroll
        for (int n = 0; n < N / 8; ++n)
#pragma unroll
          for (int i = 2 * r; i < 2 * r + 2; ++i) p[m][n][i] *= dp[m][n][i] - subtract;
      }
    add_product<T, D, kM, N>(dq, p, stage, lane_place);
  }
  float scale[kM][2];
#pragma unroll
  for (int m = 0; m < kM; ++m) scale[m][0] = scale[m][1] = a.scale;
  write_rows<T, D, kM>(dq, scale, dynamic_shared() + warp * (32 * D * kM), head_of(a.dq, b, h), a.dq.position, t,
                       sight.queries);
}

template <int D>
struct KeyTile {  // of dk and dv
  static constexpr int kM = D == 64 ? 2 : 1, kRows = kWarps * 16 * kM, kQueries = D == 64 ? 32 : 48;
  static constexpr int kQueryBytes = kQueries * D * 2, kRowBytes = kRows * D * 2;
  static constexpr int kStage = 2 * kQueryBytes + 1024;  // q, d_out; lse2, delta and first, 4 bytes a query
  static constexpr int kShared = 2 * kRowBytes + 2 * kStage;
};

// dk = scale · dsᵀ q and dv = pᵀ d_out, summed over the query heads that share the key head, in their order. Scores are
// computed with keys as rows, so that pᵀ and dsᵀ are left operands where they are.
template <class T, int D>
__global__ void __launch_bounds__(kThreads, 2) dkv_kernel(Backward<T> a, Order order, const float* delta,
                                                          const float* lse2) {
  using Tile = KeyTile<D>;
  constexpr int kM = Tile::kM, N = Tile::kQueries;
  int tile, head;
  find(order, tile, head);  // the first keys are seen by the most queries
  const int Hkv = static_cast<int>(a.Hkv), group = static_cast<int>(a.H / a.Hkv), b = head / Hkv, kv = head % Hkv;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, S = static_cast<int>(a.S);
  const int top = tile * Tile::kRows, key = top + warp * 16 * kM;
  const Sight sight = sight_of(a, b);

  // Tiles of queries that see any of the block's keys: from the first query at or after them, up to the first tile that
  // begins with a query whose sight begins behind them.
  const int begin = max(0, top - sight.past) / N;
  int end = (sight.queries + N - 1) / N;
  if (sight.first)
    for (int low = begin; low < end;) {
      const int middle = (low + end) / 2;
      if (sight.first[middle * N] < top + Tile::kRows)
        low = middle + 1;
      else
        end = middle;
    }
  const int steps = max(0, end - begin) * group;

  unsigned char* const shared = dynamic_shared();
  const uint32_t keys = shared_address(shared), values = keys + Tile::kRowBytes;
  const uint32_t lane_place = left_place<D>(), across = right_place<D>();
  constexpr int kStages = 2 * Tile::kRowBytes, kNumbers = 2 * Tile::kQueryBytes;  // where they begin
  int next_head = 0, next_tile = begin;  // the tile that is copied next
  const auto copy_queries = [&](int step) {
    const uint32_t stage = keys + kStages + step % 2 * Tile::kStage;
    const int h = kv * group + next_head, t = next_tile * N, T_ = sight.queries;
    const int64_t at = (b * a.H + h) * a.T;
    copy_rows<D, N>(stage, head_of(a.q, b, h), a.q.position, t, T_);
    copy_rows<D, N>(stage + Tile::kQueryBytes, head_of(a.d_out, b, h), a.d_out.position, t, T_);
    copy_numbers<N>(stage + kNumbers, lse2 + at, t, T_);
    copy_numbers<N>(stage + kNumbers + 4 * N, delta + at, t, T_);
    if (sight.first) copy_numbers<N>(stage + kNumbers + 8 * N, sight.first, t, T_);
    commit_copies();
    if (++next_tile == end) next_tile = begin, ++next_head;
  };
  copy_rows<D, Tile::kRows>(keys, head_of(a.k, b, kv), a.k.position, top, S);
  copy_rows<D, Tile::kRows>(values, head_of(a.v, b, kv), a.v.position, top, S);
  commit_copies();
  if (steps > 0) copy_queries(0);
  wait_for_copies<0>();
  __syncthreads();

  const RowsInShared<D, kM> k{keys + warp * (32 * D * kM), lane_place}, v{values + warp * (32 * D * kM), lane_place};
  float dk[kM][D / 8][4], dv[kM][D / 8][4], p[kM][N / 8][4], dp[kM][N / 8][4];
  clear(dk);
  clear(dv);
  const float factor = a.scale * kLog2e;
  int query_tile = begin;
  for (int step = 0; step < steps; ++step) {
    wait_for_copies<0>();
    __syncthreads();  // as in the forward
    if (step + 1 < steps) copy_queries(step + 1);
    const int t = query_tile * N, last = min(t + N, sight.queries) - 1;
    if (++query_tile == end) query_tile = begin;

    const uint32_t q_tile = keys + kStages + step % 2 * Tile::kStage, d_out_tile = q_tile + Tile::kQueryBytes;
    const unsigned char* numbers = shared + kStages + step % 2 * Tile::kStage + kNumbers;
    const float2* tile_lse2 = reinterpret_cast<const float2*>(numbers);
    const float2* tile_delta = reinterpret_cast<const float2*>(numbers + 4 * N);
    const int32_t* tile_first = reinterpret_cast<const int32_t*>(numbers + 8 * N);
    const int lowest = sight.first ? tile_first[0] : 0, highest_lowest = sight.first ? tile_first[last - t] : 0;
    if (key > sight.past + last || key + 16 * kM <= lowest) continue;  // none of the warp's keys is seen

    rows_times_rows<T, D, kM, N>(p, k, q_tile, across);
    const bool all_seen = key + 16 * kM <= sight.past + t + 1 && key >= highest_lowest;
#pragma unroll
    for (int n = 0; n < N / 8; ++n) {
      const float2 subtract = tile_lse2[4 * n + lane % 4];
#pragma unroll
      for (int m = 0; m < kM; ++m)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          p[m][n][i] = exp2_fast(fmaf(p[m][n][i], factor, -(i % 2 ? subtract.y : subtract.x)));
    }
    if (!all_seen) {
#pragma unroll
      for (int n = 0; n < N / 8; ++n)
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const int column = 8 * n + lane % 4 * 2 + i, from = sight.first ? tile_first[column] : 0;
#pragma unroll
          for (int m = 0; m < kM; ++m)
#pragma unroll
            for (int r = 0; r < 2; ++r) {
              const int row = key + 16 * m + 8 * r + lane / 4;
              if (row > sight.past + t + column || row < from) p[m][n][2 * r + i] = 0.0f;
            }
        }
    }
    add_product<T, D, kM, N>(dv, p, d_out_tile, lane_place);
    rows_times_rows<T, D, kM, N>(dp, v, d_out_tile, across);
#pragma unroll
    for (int n = 0; n < N / 8; ++n) {
      const float2 subtract = tile_delta[4 * n + lane % 4];
#pragma unroll
      for (int m = 0; m < kM; ++m)
#pragma unroll
        for (int i = 0; i < 4; ++i) p[m][n][i] *= dp[m][n][i] - (i % 2 ? subtract.y : subtract.x);
    }
    add_product<T, D, kM, N>(dk, p, q_tile, lane_place);
  }
  float scale[kM][2], one[kM][2];
#pragma unroll
  for (int m = 0; m < kM; ++m) scale[m][0] = scale[m][1] = a.scale, one[m][0] = one[m][1] = 1.0f;
  unsigned char* rows = shared + warp * (32 * D * kM);
  write_rows<T, D, kM>(dk, scale, rows, head_of(a.dk, b, kv), a.dk.position, key, S);
  write_rows<T, D, kM>(dv, one, rows + Tile::kRowBytes, head_of(a.dv, b, kv), a.dv.position, key, S);
}

// ---- The mask ----

// A block a row of `document`: where the run of equal ids that each position stands in begins, a running maximum.
__global__ void __launch_bounds__(1024) first_visible_kernel(Shape shape, int64_t window, const int32_t* document,
                                                             int32_t* first) {
  __shared__ int32_t of_warp[32];
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, warps = blockDim.x / kWarp;
  const int64_t S = shape.S, past = shape.S - shape.T;
  const int32_t* ids = document + blockIdx.x * S;
  int32_t carried = 0;
  for (int64_t begin = 0; begin < S; begin += blockDim.x) {
    const int64_t s = begin + threadIdx.x;
    int32_t start = document && s > 0 && s < S && ids[s] != ids[s - 1] ? static_cast<int32_t>(s) : 0;
    for (int step = 1; step < kWarp; step *= 2) start = max(start, __shfl_up_sync(kAllLanes, start, step));
    if (lane == kWarp - 1) of_warp[warp] = start;
    __syncthreads();
    int32_t before = carried;
    for (int w = 0; w < warps; ++w) {
      if (w < warp) before = max(before, of_warp[w]);
      carried = max(carried, of_warp[w]);
    }
    __syncthreads();  // of_warp has been read
    if (s >= past && s < S) {
      const int64_t by_window = window > 0 ? s - window + 1 : 0;
      first[blockIdx.x * shape.T + s - past] = max(max(start, before), static_cast<int32_t>(max(by_window, int64_t{0})));
    }
  }
}

int64_t parts(int64_t n, int64_t of) { return (n + of - 1) / of; }

// Heads whose two tensors of `positions` rows fit in the cache run together, and those of one key head always do.
Order order_of(int64_t heads, int64_t tiles, int64_t positions, int64_t D, int64_t sharing) {
  const int64_t fitting = kCacheBytes / std::max<int64_t>(1, 4 * positions * D);
  const int64_t group = std::clamp<int64_t>(fitting * sharing, sharing, std::max(heads, sharing));
  return {static_cast<unsigned>(heads), static_cast<unsigned>(tiles), static_cast<unsigned>(group)};
}

template <class T, int D>
void forward_of_width(const Forward<T>& a, void* stream) {
  using Tile = ForwardTile<D>;
  const int64_t heads = a.B * a.H, tiles = parts(a.T, Tile::kRows);
  if (heads * tiles == 0) return;
  launch("causal_attention", forward_kernel<T, D>, heads * tiles, kThreads, Tile::kShared, stream, a,
         order_of(heads, tiles, a.S, D, a.H / a.Hkv));
}

template <class T, int D>
void backward_of_width(const Backward<T>& a, float* scratch, void* stream) {
  constexpr const char* kOp = "causal_attention_backward";
  const int64_t rows = a.B * a.H * a.T;
  float* const delta = scratch;
  float* const lse2 = scratch + rows;
  launch(kOp, delta_kernel<T, D>, parts(rows * (D / 8), kThreads), kThreads, 0, stream, a, delta, lse2);
  const int64_t sharing = a.Hkv ? a.H / a.Hkv : 1, query_tiles = parts(a.T, QueryTile<D>::kRows);
  const int64_t key_tiles = parts(a.S, KeyTile<D>::kRows);
  launch(kOp, dkv_kernel<T, D>, a.B * a.Hkv * key_tiles, kThreads, KeyTile<D>::kShared, stream, a,
         order_of(a.B * a.Hkv, key_tiles, a.T * sharing, D, 1), delta, lse2);
  launch(kOp, dq_kernel<T, D>, a.B * a.H * query_tiles, kThreads, QueryTile<D>::kShared, stream, a,
         order_of(a.B * a.H, query_tiles, a.S, D, sharing), delta, lse2);
}

}  // namespace

int64_t scratch_size_cuda(const Shape& shape) { return 2 * shape.B * shape.H * shape.T; }

template <class T>
void forward_cuda(const Forward<T>& args, void* stream) {
  args.D == 64 ? forward_of_width<T, 64>(args, stream) : forward_of_width<T, 128>(args, stream);
}

template <class T>
void backward_cuda(const Backward<T>& args, float* scratch, void* stream) {
  args.D == 64 ? backward_of_width<T, 64>(args, scratch, stream) : backward_of_width<T, 128>(args, scratch, stream);
}

void first_visible_cuda(const Shape& shape, int64_t window, const int32_t* document, int32_t* first, void* stream) {
  launch("causal_attention", first_visible_kernel, shape.B, 1024, 0, stream, shape, window, document, first);
}

template void forward_cuda(const Forward<bfloat16>&, void*);
template void forward_cuda(const Forward<float16>&, void*);
template void backward_cuda(const Backward<bfloat16>&, float*, void*);
template void backward_cuda(const Backward<float16>&, float*, void*);

}  // namespace jarvis::attention

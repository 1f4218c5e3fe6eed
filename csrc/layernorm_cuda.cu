// LayerNorm and RMSNorm on CUDA, no atomics. Torch-free; bindings.cpp hands over pointers and a stream.
//
// A row is read once, 16 bytes at a time, and stays in the registers of one or more warps; a block holds several narrow
// rows at a time. Backward, a fixed grid walks over the rows with its part of dweight and dbias in registers too; a
// second kernel adds the parts in a fixed order, so that repeats are equal bit for bit. Rows that are too wide, or that
// do not start at 16 bytes, are walked over in memory (the kernels named ..._in_memory).
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstring>

#include "cpu.h"
#include "launch.cuh"
#include "layernorm.h"

namespace jarvis::layernorm {
namespace {

constexpr int kWarp = 32;
constexpr int kMaxThreads = 512;           // of a block; leaves each thread 128 registers
constexpr int kBlockThreads = 256;         // filled with as many rows as fit
constexpr int64_t kBackwardBlocks = 264;   // two for each of the 132 multiprocessors of an H100; fixed: see scratch_size
constexpr int kColumnThreads = 32, kPartThreads = 16;  // of add_partials

template <class T>
constexpr int kPack = 16 / sizeof(T);  // values that one access moves

__device__ float widen(float x) { return x; }
__device__ float widen(bfloat16 x) { return __uint_as_float(static_cast<uint32_t>(x.bits) << 16); }
__device__ float widen(float16 x) { return __half2float(__ushort_as_half(x.bits)); }
__device__ void narrow(float& to, float x) { to = x; }
__device__ void narrow(bfloat16& to, float x) { to.bits = __bfloat16_as_ushort(__float2bfloat16_rn(x)); }
__device__ void narrow(float16& to, float x) { to.bits = __half_as_ushort(__float2half_rn(x)); }

template <class T>
__device__ void widen(const uint4& bits, float (&to)[kPack<T>]) {
  T values[kPack<T>];
  memcpy(values, &bits, sizeof bits);
#pragma unroll
  for (int i = 0; i < kPack<T>; ++i) to[i] = widen(values[i]);
}

template <class T>
__device__ uint4 narrow(const float (&from)[kPack<T>]) {
  T values[kPack<T>];
#pragma unroll
  for (int i = 0; i < kPack<T>; ++i) narrow(values[i], from[i]);
  uint4 bits;
  memcpy(&bits, values, sizeof bits);
  return bits;
}

template <class T>
__device__ uint4 load(const T* from) { return *reinterpret_cast<const uint4*>(from); }
template <class T>
__device__ void store(T* to, const uint4& bits) { *reinterpret_cast<uint4*>(to) = bits; }

template <int K>
__device__ void load_floats(const float* from, float (&to)[K]) {
#pragma unroll
  for (int i = 0; i < K; i += 4) {
    const float4 four = *reinterpret_cast<const float4*>(from + i);
    to[i] = four.x, to[i + 1] = four.y, to[i + 2] = four.z, to[i + 3] = four.w;
  }
}

// The sums of K values over the threads of a row, the same in each of them. A row is a number of whole warps of the
// block, and all rows of the block take part. `shared` holds K floats a warp.
template <int K>
__device__ void add_over_row(float (&v)[K], int row_threads, float* shared) {
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2)
#pragma unroll
    for (int k = 0; k < K; ++k) v[k] += __shfl_xor_sync(0xffffffffu, v[k], step);
  if (row_threads == kWarp) return;
  const int warp = threadIdx.x / kWarp, first = threadIdx.x / row_threads * (row_threads / kWarp);
  __syncthreads();  // the last sum has been read
  if (threadIdx.x % kWarp == 0)
    for (int k = 0; k < K; ++k) shared[K * warp + k] = v[k];
  __syncthreads();
  for (int k = 0; k < K; ++k) v[k] = 0.0f;
  for (int w = first; w < first + row_threads / kWarp; ++w)
    for (int k = 0; k < K; ++k) v[k] += shared[K * w + k];
}

// Pack p of a thread starts at column (p * row_threads + lane) * kPack: neighbours read neighbouring packs.
template <class T, int N>
__global__ void __launch_bounds__(kMaxThreads) forward_kernel(Forward<T> a, int row_threads) {
  constexpr int V = kPack<T>, kPacks = N / V;
  __shared__ float shared[kMaxThreads / kWarp];
  const int rows_at_once = blockDim.x / row_threads, lane = threadIdx.x % row_threads;
  const int64_t C = a.columns, step = static_cast<int64_t>(gridDim.x) * rows_at_once;
  for (int64_t top = static_cast<int64_t>(blockIdx.x) * rows_at_once; top < a.rows; top += step) {
    const int64_t row = top + threadIdx.x / row_threads, start = row * C;
    float t[kPacks][V] = {}, sum[1] = {}, squares[1] = {};
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const int64_t column = static_cast<int64_t>(p * row_threads + lane) * V;
      if (row >= a.rows || column >= C) continue;
      widen<T>(load(a.x + start + column), t[p]);
      if (a.residual) {
        float residual[V];
        widen<T>(load(a.residual + start + column), residual);
        for (int i = 0; i < V; ++i) t[p][i] += residual[i];
        const uint4 total = narrow<T>(t[p]);
        store(a.total + start + column, total);
        widen<T>(total, t[p]);  // as it is read in the backward pass
      }
      for (int i = 0; i < V; ++i) sum[0] += t[p][i];
    }
    float mean = 0.0f;
    if (a.mean) {
      add_over_row(sum, row_threads, shared);
      mean = sum[0] / C;
    }
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      if ((p * row_threads + lane) * V >= C) continue;
      for (int i = 0; i < V; ++i) squares[0] += (t[p][i] - mean) * (t[p][i] - mean);
    }
    add_over_row(squares, row_threads, shared);
    const float rstd = 1.0f / sqrtf(squares[0] / C + a.eps);
    if (row >= a.rows) continue;
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const int64_t column = static_cast<int64_t>(p * row_threads + lane) * V;
      if (column >= C) continue;
      float weight[V], bias[V] = {};
      load_floats(a.weight + column, weight);
      if (a.bias) load_floats(a.bias + column, bias);
      for (int i = 0; i < V; ++i) t[p][i] = (t[p][i] - mean) * rstd * weight[i] + bias[i];
      store(a.y + start + column, narrow<T>(t[p]));
    }
    if (lane == 0) {
      if (a.mean) a.mean[row] = mean;
      a.rstd[row] = rstd;
    }
  }
}

// The block's sums of dweight and dbias, which its rows_at_once groups of threads hold in parts, to its line of
// scratch: the groups add to shared memory one after the other.
template <int kPacks, int V>
__device__ void write_partials(const float (&dweight)[kPacks][V], const float (&dbias)[kPacks][V], int row_threads,
                               int64_t C, float* line) {
  const int groups = blockDim.x / row_threads, lane = threadIdx.x % row_threads;
  float* sums = groups == 1 ? line : reinterpret_cast<float*>(dynamic_shared());
  for (int group = 0; group < groups; ++group) {
    if (threadIdx.x / row_threads == group) {
#pragma unroll
      for (int p = 0; p < kPacks; ++p) {
        const int64_t column = static_cast<int64_t>(p * row_threads + lane) * V;
        if (column >= C) continue;
#pragma unroll
        for (int i = 0; i < V; i += 4) {
          float4* weight = reinterpret_cast<float4*>(sums + column + i);
          float4* bias = reinterpret_cast<float4*>(sums + C + column + i);
          const float4 none = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
          const float4 w = group ? *weight : none, b = group ? *bias : none;
          *weight = make_float4(w.x + dweight[p][i], w.y + dweight[p][i + 1], w.z + dweight[p][i + 2],
                                w.w + dweight[p][i + 3]);
          *bias = make_float4(b.x + dbias[p][i], b.y + dbias[p][i + 1], b.z + dbias[p][i + 2], b.w + dbias[p][i + 3]);
        }
      }
    }
    __syncthreads();
  }
  if (groups > 1)
    for (int64_t c = threadIdx.x; c < 2 * C; c += blockDim.x) line[c] = sums[c];
}

template <class T, int N>
__global__ void __launch_bounds__(kMaxThreads) backward_kernel(Backward<T> a, int row_threads) {
  constexpr int V = kPack<T>, kPacks = N / V;
  __shared__ float shared[2 * kMaxThreads / kWarp];
  const int rows_at_once = blockDim.x / row_threads, lane = threadIdx.x % row_threads;
  const int64_t C = a.columns, step = static_cast<int64_t>(gridDim.x) * rows_at_once;
  float dweight[kPacks][V] = {}, dbias[kPacks][V] = {};
  for (int64_t top = static_cast<int64_t>(blockIdx.x) * rows_at_once; top < a.rows; top += step) {
    const int64_t row = top + threadIdx.x / row_threads, start = row * C;
    const bool there = row < a.rows;
    // Both operands stay as they lie in memory: bfloat16 takes half the registers of float32.
    uint4 dy[kPacks], total[kPacks];
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const int64_t column = static_cast<int64_t>(p * row_threads + lane) * V;
      const bool here = there && column < C;
      dy[p] = here ? load(a.dy + start + column) : make_uint4(0, 0, 0, 0);
      total[p] = here ? load(a.total + start + column) : make_uint4(0, 0, 0, 0);
    }
    const float mean = a.mean && there ? a.mean[row] : 0.0f, rstd = there ? a.rstd[row] : 0.0f;
    float sums[2] = {};  // of g and g * n
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const int64_t column = static_cast<int64_t>(p * row_threads + lane) * V;
      if (column >= C) continue;
      float d[V], t[V], weight[V];
      widen<T>(dy[p], d);
      widen<T>(total[p], t);
      load_floats(a.weight + column, weight);
#pragma unroll
      for (int i = 0; i < V; ++i) {
        const float n = (t[i] - mean) * rstd, g = d[i] * weight[i];
        sums[0] += g;
        sums[1] += g * n;
        dweight[p][i] += d[i] * n;
        dbias[p][i] += d[i];
      }
    }
    add_over_row(sums, row_threads, shared);
    const float mean_g = a.mean ? sums[0] / C : 0.0f, mean_gn = sums[1] / C;
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const int64_t column = static_cast<int64_t>(p * row_threads + lane) * V;
      if (!there || column >= C) continue;
      float d[V], t[V], weight[V];
      widen<T>(dy[p], d);
      widen<T>(total[p], t);
      load_floats(a.weight + column, weight);
#pragma unroll
      for (int i = 0; i < V; ++i) d[i] = (d[i] * weight[i] - mean_g - (t[i] - mean) * rstd * mean_gn) * rstd;
      if (a.dtotal) {
        widen<T>(load(a.dtotal + start + column), t);
#pragma unroll
        for (int i = 0; i < V; ++i) d[i] += t[i];
      }
      store(a.dx + start + column, narrow<T>(d));
    }
  }
  write_partials<kPacks, V>(dweight, dbias, row_threads, C, a.scratch + blockIdx.x * 2 * C);
}

// A block a row; the row is read again, from the cache, for each step.
template <class T>
__global__ void __launch_bounds__(kMaxThreads) forward_in_memory(Forward<T> a) {
  __shared__ float shared[kMaxThreads / kWarp];
  const int64_t C = a.columns;
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    const T* x = a.x + row * C;
    const T* residual = a.residual ? a.residual + row * C : nullptr;
    T* total = a.total + (residual ? row * C : 0);
    float sum[1] = {}, squares[1] = {};
    for (int64_t c = threadIdx.x; c < C; c += blockDim.x) {
      float t = widen(x[c]);
      if (residual) {
        narrow(total[c], t + widen(residual[c]));
        t = widen(total[c]);
      }
      sum[0] += t;
    }
    // Each thread reads back only what it wrote itself: no barrier is needed between the passes.
    const T* t = residual ? total : x;
    add_over_row(sum, blockDim.x, shared);
    const float mean = a.mean ? sum[0] / C : 0.0f;
    for (int64_t c = threadIdx.x; c < C; c += blockDim.x) {
      const float centred = widen(t[c]) - mean;
      squares[0] += centred * centred;
    }
    add_over_row(squares, blockDim.x, shared);
    const float rstd = 1.0f / sqrtf(squares[0] / C + a.eps);
    T* y = a.y + row * C;
    for (int64_t c = threadIdx.x; c < C; c += blockDim.x) {
      const float v = (widen(t[c]) - mean) * rstd * a.weight[c];
      narrow(y[c], a.bias ? v + a.bias[c] : v);
    }
    if (threadIdx.x == 0) {
      if (a.mean) a.mean[row] = mean;
      a.rstd[row] = rstd;
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kMaxThreads) backward_in_memory(Backward<T> a) {
  __shared__ float shared[2 * kMaxThreads / kWarp];
  const int64_t C = a.columns;
  float* dweight = a.scratch + blockIdx.x * 2 * C;  // a column belongs to one thread all the way
  float* dbias = dweight + C;
  for (int64_t c = threadIdx.x; c < C; c += blockDim.x) dweight[c] = dbias[c] = 0.0f;
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    const T* dy = a.dy + row * C;
    const T* t = a.total + row * C;
    const float mean = a.mean ? a.mean[row] : 0.0f, rstd = a.rstd[row];
    float sums[2] = {};
    for (int64_t c = threadIdx.x; c < C; c += blockDim.x) {
      const float d = widen(dy[c]), n = (widen(t[c]) - mean) * rstd, g = d * a.weight[c];
      sums[0] += g;
      sums[1] += g * n;
      dweight[c] += d * n;
      dbias[c] += d;
    }
    add_over_row(sums, blockDim.x, shared);
    const float mean_g = a.mean ? sums[0] / C : 0.0f, mean_gn = sums[1] / C;
    T* dx = a.dx + row * C;
    for (int64_t c = threadIdx.x; c < C; c += blockDim.x) {
      const float n = (widen(t[c]) - mean) * rstd;
      const float v = (widen(dy[c]) * a.weight[c] - mean_g - n * mean_gn) * rstd;
      narrow(dx[c], a.dtotal ? v + widen(a.dtotal[row * C + c]) : v);
    }
  }
}

// dweight and dbias lie side by side in each line of scratch. A block adds 32 columns: kPartThreads threads a column
// take every kPartThreads-th line each, and the first adds their sums in order.
__global__ void __launch_bounds__(kColumnThreads* kPartThreads)
    add_partials(const float* scratch, int64_t parts, int64_t C, float* dweight, float* dbias) {
  __shared__ float sums[kPartThreads][kColumnThreads];
  const int lane = threadIdx.x % kColumnThreads, first = threadIdx.x / kColumnThreads;
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kColumnThreads + lane, columns = dbias ? 2 * C : C;
  float sum = 0.0f;
  if (column < columns)
    for (int64_t part = first; part < parts; part += kPartThreads) sum += scratch[part * 2 * C + column];
  sums[first][lane] = sum;
  __syncthreads();
  if (first != 0 || column >= columns) return;
  for (int i = 1; i < kPartThreads; ++i) sum += sums[i][lane];
  (column < C ? dweight[column] : dbias[column - C]) = sum;
}

// How rows are laid over threads: `values` registers in each of `row_threads`. values = 0: in memory.
struct Split {
  int values, row_threads;
};

// most: values that a thread may hold. Few warps a row first: within a warp, sums need no barrier.
Split split(int64_t columns, int64_t pack, int most, bool aligned) {
  const int64_t warps = (columns + kWarp * most - 1) / (kWarp * most);
  if (!aligned || columns % pack || warps * kWarp > kMaxThreads) {
    const int64_t whole = (columns + kWarp - 1) / kWarp * kWarp;
    return {0, static_cast<int>(std::clamp<int64_t>(whole, kWarp, kBlockThreads))};
  }
  int values = 8;
  while (warps * kWarp * values < columns) values += 8;
  return {values, static_cast<int>(warps) * kWarp};
}

template <class... Pointers>
bool all_aligned(const Pointers*... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

int rows_at_once(const Split& split) { return std::max(1, kBlockThreads / split.row_threads); }

}  // namespace

int64_t scratch_size_cuda(int64_t rows, int64_t columns) { return std::min(rows, kBackwardBlocks) * 2 * columns; }

template <class T>
void forward_cuda(const Forward<T>& args, void* stream) {
  const Split by = split(args.columns, kPack<T>, 32,
                         all_aligned(args.x, args.residual, args.weight, args.bias, args.y, args.total));
  const int64_t most_blocks = 1 << 30, at_once = rows_at_once(by);
  if (by.values == 0)
    return launch("layer_norm", forward_in_memory<T>, std::min(args.rows, most_blocks), by.row_threads, 0, stream, args);
  const auto kernel = by.values == 8    ? forward_kernel<T, 8>
                      : by.values == 16 ? forward_kernel<T, 16>
                      : by.values == 24 ? forward_kernel<T, 24>
                                        : forward_kernel<T, 32>;
  launch("layer_norm", kernel, std::min((args.rows + at_once - 1) / at_once, most_blocks),
         static_cast<int>(at_once) * by.row_threads, 0, stream, args, by.row_threads);
}

template <class T>
void backward_cuda(const Backward<T>& args, void* stream) {
  // More operands and sums than these do not fit in 128 registers.
  constexpr int kMost = sizeof(T) == 2 ? 24 : 16;
  const Split by = split(args.columns, kPack<T>, kMost,
                         all_aligned(args.dy, args.dtotal, args.total, args.weight, args.dx, args.scratch));
  const int64_t C = args.columns, at_once = by.values ? rows_at_once(by) : 1;
  const int64_t blocks = std::min((args.rows + at_once - 1) / at_once, kBackwardBlocks);
  if (by.values == 0) {
    launch("layer_norm", backward_in_memory<T>, blocks, by.row_threads, 0, stream, args);
  } else {
    auto kernel = by.values == 8 ? backward_kernel<T, 8> : backward_kernel<T, 16>;
    if constexpr (kMost == 24)
      if (by.values == 24) kernel = backward_kernel<T, 24>;
    const int shared = at_once > 1 ? static_cast<int>(2 * C * sizeof(float)) : 0;
    launch("layer_norm", kernel, blocks, static_cast<int>(at_once) * by.row_threads, shared, stream, args,
           by.row_threads);
  }
  const float* scratch = args.scratch;
  const int64_t columns = args.dbias ? 2 * C : C;
  launch("layer_norm", add_partials, (columns + kColumnThreads - 1) / kColumnThreads, kColumnThreads * kPartThreads, 0,
         stream, scratch, blocks, C, args.dweight, args.dbias);
}

template void forward_cuda(const Forward<float>&, void*);
template void forward_cuda(const Forward<bfloat16>&, void*);
template void forward_cuda(const Forward<float16>&, void*);
template void backward_cuda(const Backward<float>&, void*);
template void backward_cuda(const Backward<bfloat16>&, void*);
template void backward_cuda(const Backward<float16>&, void*);

}  // namespace jarvis::layernorm

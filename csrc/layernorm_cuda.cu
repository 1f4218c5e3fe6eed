// LayerNorm and RMSNorm on CUDA: a block a row, no atomics. Torch-free; bindings.cpp hands over pointers and a stream.
//
// Forward reads a row twice (statistics, result), the second time from the cache. Backward, a fixed grid walks over
// the rows; each block adds its rows' dweight and dbias into its own line of a scratch buffer, and a second kernel sums
// the lines in order, so that repeats are equal bit for bit.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "cpu.h"
#include "layernorm.h"

namespace jarvis::layernorm {
namespace {

constexpr int kWarp = 32;
constexpr int kMaxThreads = 256;
constexpr int64_t kBackwardBlocks = 264;  // two for each of the 132 multiprocessors of an H100; fixed: see scratch_size

__device__ float widen(float x) { return x; }
__device__ float widen(bfloat16 x) { return __uint_as_float(static_cast<uint32_t>(x.bits) << 16); }
__device__ float widen(float16 x) { return __half2float(__ushort_as_half(x.bits)); }
__device__ void narrow(float& to, float x) { to = x; }
__device__ void narrow(bfloat16& to, float x) { to.bits = __bfloat16_as_ushort(__float2bfloat16_rn(x)); }
__device__ void narrow(float16& to, float x) { to.bits = __half_as_ushort(__float2half_rn(x)); }

// The sum of two values over the block, the same in every thread. `shared` holds 2 floats a warp.
__device__ float2 block_sum(float2 v, float* shared) {
  for (int step = kWarp / 2; step > 0; step /= 2) {
    v.x += __shfl_xor_sync(0xffffffffu, v.x, step);
    v.y += __shfl_xor_sync(0xffffffffu, v.y, step);
  }
  const int warps = blockDim.x / kWarp, warp = threadIdx.x / kWarp;
  __syncthreads();  // the last sum has been read
  if (threadIdx.x % kWarp == 0) {
    shared[2 * warp] = v.x;
    shared[2 * warp + 1] = v.y;
  }
  __syncthreads();
  float2 sum = make_float2(0.0f, 0.0f);
  for (int w = 0; w < warps; ++w) {
    sum.x += shared[2 * w];
    sum.y += shared[2 * w + 1];
  }
  return sum;
}

template <class T>
__global__ void __launch_bounds__(kMaxThreads) forward_kernel(Forward<T> a) {
  __shared__ float shared[2 * kMaxThreads / kWarp];
  const int64_t C = a.columns;
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    const T* x = a.x + row * C;
    const T* residual = a.residual ? a.residual + row * C : nullptr;
    T* total = a.total + (residual ? row * C : 0);
    float2 sum = make_float2(0.0f, 0.0f);
    for (int64_t c = threadIdx.x; c < C; c += blockDim.x) {
      float t = widen(x[c]);
      if (residual) {
        narrow(total[c], t + widen(residual[c]));
        t = widen(total[c]);
      }
      sum.x += t;
    }
    // Each thread reads back only what it wrote itself: no barrier is needed between the passes.
    const T* t = residual ? total : x;
    const float mean = a.mean ? block_sum(sum, shared).x / C : 0.0f;
    float2 squares = make_float2(0.0f, 0.0f);
    for (int64_t c = threadIdx.x; c < C; c += blockDim.x) {
      const float centred = widen(t[c]) - mean;
      squares.x += centred * centred;
    }
    const float rstd = 1.0f / sqrtf(block_sum(squares, shared).x / C + a.eps);
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
__global__ void __launch_bounds__(kMaxThreads) backward_kernel(Backward<T> a) {
  __shared__ float shared[2 * kMaxThreads / kWarp];
  const int64_t C = a.columns;
  float* dweight = a.scratch + blockIdx.x * 2 * C;  // a column belongs to one thread all the way
  float* dbias = dweight + C;
  for (int64_t c = threadIdx.x; c < C; c += blockDim.x) dweight[c] = dbias[c] = 0.0f;
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    const T* dy = a.dy + row * C;
    const T* t = a.total + row * C;
    const float mean = a.mean ? a.mean[row] : 0.0f, rstd = a.rstd[row];
    float2 sums = make_float2(0.0f, 0.0f);
    for (int64_t c = threadIdx.x; c < C; c += blockDim.x) {
      const float d = widen(dy[c]), n = (widen(t[c]) - mean) * rstd, g = d * a.weight[c];
      sums.x += g;
      sums.y += g * n;
      dweight[c] += d * n;
      dbias[c] += d;
    }
    sums = block_sum(sums, shared);
    const float mean_g = a.mean ? sums.x / C : 0.0f, mean_gn = sums.y / C;
    T* dx = a.dx + row * C;
    for (int64_t c = threadIdx.x; c < C; c += blockDim.x) {
      const float n = (widen(t[c]) - mean) * rstd;
      const float v = (widen(dy[c]) * a.weight[c] - mean_g - n * mean_gn) * rstd;
      narrow(dx[c], a.dtotal ? v + widen(a.dtotal[row * C + c]) : v);
    }
  }
}

__global__ void add_partials(const float* scratch, int64_t parts, int64_t C, float* dweight, float* dbias) {
  const int64_t c = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c >= C) return;
  float weight = 0.0f, bias = 0.0f;
  for (int64_t p = 0; p < parts; ++p) {
    weight += scratch[p * 2 * C + c];
    bias += scratch[p * 2 * C + C + c];
  }
  dweight[c] = weight;
  if (dbias) dbias[c] = bias;
}

int threads_for(int64_t columns) {
  return static_cast<int>(std::clamp<int64_t>((columns + kWarp - 1) / kWarp * kWarp, kWarp, kMaxThreads));
}

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), int64_t blocks, int threads, void* stream, const Arguments&... arguments) {
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.stream = static_cast<cudaStream_t>(stream);
  const cudaError_t error = cudaLaunchKernelEx(&config, kernel, arguments...);
  if (error != cudaSuccess)
    throw std::runtime_error("layer_norm: launching " + std::to_string(blocks) + " blocks of " +
                             std::to_string(threads) + " threads: " + cudaGetErrorString(error));
}

}  // namespace

int64_t scratch_size_cuda(int64_t rows, int64_t columns) { return std::min(rows, kBackwardBlocks) * 2 * columns; }

template <class T>
void forward_cuda(const Forward<T>& args, void* stream) {
  const int64_t blocks = std::min<int64_t>(args.rows, 1 << 30);
  if (blocks > 0) launch(forward_kernel<T>, blocks, threads_for(args.columns), stream, args);
}

template <class T>
void backward_cuda(const Backward<T>& args, void* stream) {
  const int64_t blocks = std::min(args.rows, kBackwardBlocks), columns = args.columns;
  if (blocks > 0) launch(backward_kernel<T>, blocks, threads_for(columns), stream, args);
  const float* scratch = args.scratch;
  if (columns > 0) launch(add_partials, (columns + 127) / 128, 128, stream, scratch, blocks, columns, args.dweight, args.dbias);
}

template void forward_cuda(const Forward<float>&, void*);
template void forward_cuda(const Forward<bfloat16>&, void*);
template void forward_cuda(const Forward<float16>&, void*);
template void backward_cuda(const Backward<float>&, void*);
template void backward_cuda(const Backward<bfloat16>&, void*);
template void backward_cuda(const Backward<float16>&, void*);

}  // namespace jarvis::layernorm

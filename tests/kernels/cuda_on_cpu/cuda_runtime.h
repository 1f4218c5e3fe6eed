// Enough of CUDA to run a kernel's arithmetic on a CPU, for tests: a fibre a CUDA thread, one block after the other.
// Compile a .cu file as C++ with this folder in front of the include path. Not a model of speed, nor of races.
#pragma once

#include <ucontext.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

#define __global__ static
#define __device__ static
#define __shared__ static
#define __launch_bounds__(...)

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct float2 {
  float x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }

using cudaStream_t = void*;
using cudaError_t = int;
constexpr cudaError_t cudaSuccess = 0;
inline const char* cudaGetErrorString(cudaError_t) { return "refused"; }

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};

inline dim3 threadIdx, blockIdx, blockDim, gridDim;
inline std::vector<float> exchanged;

// The fibres of a block run in turn, each up to its next barrier: all of them reach one before any leaves it.
struct Fibre {
  ucontext_t context;
  std::vector<char> stack;
  bool done;
};
inline std::vector<Fibre> fibres;
inline ucontext_t scheduler;
inline unsigned running;
inline std::function<void()> thread_body;

inline void __syncthreads() { swapcontext(&fibres[running].context, &scheduler); }

inline void run_fibre() {
  thread_body();
  fibres[running].done = true;
}

inline void run_block() {
  for (Fibre& fibre : fibres) {
    getcontext(&fibre.context);
    fibre.stack.resize(1 << 16);
    fibre.context.uc_stack.ss_sp = fibre.stack.data();
    fibre.context.uc_stack.ss_size = fibre.stack.size();
    fibre.context.uc_link = &scheduler;
    fibre.done = false;
    makecontext(&fibre.context, run_fibre, 0);
  }
  for (bool busy = true; busy;) {
    busy = false;
    for (running = 0; running < fibres.size(); ++running) {
      if (fibres[running].done) continue;
      threadIdx = dim3(running);
      swapcontext(&scheduler, &fibres[running].context);
      busy = busy || !fibres[running].done;
    }
  }
}

// Every thread of the block takes part, as in the kernels under test.
inline float __shfl_xor_sync(unsigned, float value, int mask) {
  exchanged[threadIdx.x] = value;
  __syncthreads();
  const float other = exchanged[(threadIdx.x / 32) * 32 + ((threadIdx.x % 32) ^ mask)];
  __syncthreads();
  return other;
}

inline float __uint_as_float(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...), Arguments... arguments) {
  if (config->gridDim.x == 0 || config->blockDim.x == 0 || config->blockDim.x > 1024) return 1;  // as CUDA does
  gridDim = config->gridDim;
  blockDim = config->blockDim;
  exchanged.assign(blockDim.x, 0.0f);
  fibres.resize(blockDim.x);
  thread_body = [&] { kernel(arguments...); };
  for (unsigned b = 0; b < gridDim.x; ++b) {
    blockIdx = dim3(b);
    run_block();
  }
  return cudaSuccess;
}

// Enough of CUDA to run a kernel's arithmetic on a CPU, for tests: a fibre a CUDA thread, one block after the other.
// Compile a .cu file as C++ with this folder in front of the include path. Not a model of speed.
//
// A warp runs on alone until all of its lanes wait at a barrier of the block, the lanes one after the other up to the
// next exchange. So what lacks a barrier reads stale or unwritten values here, every time; `reversed` turns the order.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <vector>

#define __global__ static
#define __device__
#define __forceinline__ inline
#define __shared__ thread_local
#define __launch_bounds__(...)

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }

using cudaStream_t = void*;
using cudaError_t = int;
constexpr cudaError_t cudaSuccess = 0;
inline const char* cudaGetErrorString(cudaError_t) { return "refused"; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};

inline dim3 threadIdx, blockIdx, blockDim, gridDim;

constexpr size_t kSharedLimit = 99 * 1024;  // a block's on consumer cards
namespace jarvis {
alignas(1024) inline thread_local unsigned char dynamic_bytes[kSharedLimit];
}
inline size_t shared_bytes;  // of the present launch

[[noreturn]] inline void wrong(const char* what) {
  std::fprintf(stderr, "CUDA on the CPU: %s (block %u, thread %u)\n", what, blockIdx.x, threadIdx.x);
  std::abort();
}

enum class State { ready, at_warp_barrier, at_block_barrier, done };

struct PendingCopy {
  uint32_t to;
  const void* from;
  int bytes, there;
};

struct Fibre {
  ucontext_t start;
  jmp_buf place;
  std::vector<char> stack = std::vector<char>(1 << 16);
  bool started;
  State state;
  std::vector<std::vector<PendingCopy>> copies;  // one entry a committed group, and the open one last
};
inline std::vector<Fibre> fibres;
inline jmp_buf scheduler;
inline unsigned running;
inline std::function<void()> thread_body;
inline bool reversed = false;
extern "C" void run_reversed(bool on) { reversed = on; }
inline std::vector<uint64_t> exchanged;

// _setjmp and _longjmp in place of swapcontext, which asks the kernel for the signal mask at each switch.
inline void wait_as(State state) {
  fibres[running].state = state;
  if (!_setjmp(fibres[running].place)) _longjmp(scheduler, 1);
}
inline void __syncthreads() { wait_as(State::at_block_barrier); }
inline void __syncwarp() { wait_as(State::at_warp_barrier); }

inline void run_fibre() {
  thread_body();
  for (const auto& group : fibres[running].copies)
    if (!group.empty()) wrong("a thread ends before its copies have arrived");
  fibres[running].state = State::done;
  _longjmp(scheduler, 1);
}

__attribute__((noinline)) inline void resume(unsigned thread) {
  running = thread;
  threadIdx = dim3(thread);
  Fibre& fibre = fibres[thread];
  fibre.state = State::ready;
  if (_setjmp(scheduler)) return;
  if (fibres[running].started) _longjmp(fibres[running].place, 1);
  fibres[running].started = true;
  setcontext(&fibres[running].start);
}

// Runs the lanes of a warp until all of them wait for the block or are done.
inline void run_warp(unsigned first, unsigned last) {
  for (;;) {
    for (unsigned i = first; i < last; ++i) {
      const unsigned thread = reversed ? first + last - 1 - i : i;
      if (fibres[thread].state == State::ready) resume(thread);
    }
    unsigned of_warp = 0, others = 0;
    for (unsigned i = first; i < last; ++i) (fibres[i].state == State::at_warp_barrier ? of_warp : others)++;
    if (of_warp == 0) return;
    if (others != 0) wrong("some lanes of a warp wait for the others, which are elsewhere");
    for (unsigned i = first; i < last; ++i) fibres[i].state = State::ready;
  }
}

inline void run_block() {
  const unsigned threads = fibres.size(), warps = (threads + 31) / 32;
  std::memset(jarvis::dynamic_bytes, 0xff, sizeof jarvis::dynamic_bytes);  // not a number in any type
  for (Fibre& fibre : fibres) {
    getcontext(&fibre.start);
    fibre.start.uc_stack.ss_sp = fibre.stack.data();
    fibre.start.uc_stack.ss_size = fibre.stack.size();
    fibre.start.uc_link = nullptr;
    fibre.started = false;
    fibre.state = State::ready;
    fibre.copies.assign(1, {});
    makecontext(&fibre.start, run_fibre, 0);
  }
  for (;;) {
    for (unsigned i = 0; i < warps; ++i) {
      const unsigned warp = reversed ? warps - 1 - i : i;
      run_warp(warp * 32, warp * 32 + 32 < threads ? warp * 32 + 32 : threads);
    }
    unsigned waiting = 0;
    for (Fibre& fibre : fibres) waiting += fibre.state == State::at_block_barrier;
    if (waiting == 0) return;
    if (waiting != threads) wrong("some threads wait at a barrier, others are done");
    for (Fibre& fibre : fibres) fibre.state = State::ready;
  }
}

// The value that another lane of the warp brings. All lanes take part.
template <class T>
T from_lane(T value, unsigned lane) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  const unsigned warp = threadIdx.x / 32 * 32;
  std::memcpy(&exchanged[threadIdx.x], &value, sizeof value);
  __syncwarp();
  T other;
  std::memcpy(&other, &exchanged[warp + lane], sizeof other);
  __syncwarp();
  return other;
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return from_lane(value, (threadIdx.x % 32) ^ mask);
}
template <class T>
T __shfl_up_sync(unsigned, T value, unsigned delta) {
  const unsigned lane = threadIdx.x % 32;
  return from_lane(value, lane < delta ? lane : lane - delta);
}
inline int __any_sync(unsigned, int predicate) {
  int any = predicate != 0;
  for (int step = 16; step > 0; step /= 2) any |= __shfl_xor_sync(~0u, any, step);
  return any;
}

template <class T>
T min(T a, T b) {
  return b < a ? b : a;
}
template <class T>
T max(T a, T b) {
  return a < b ? b : a;
}

inline float __uint_as_float(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// More shared memory than 48 KB must be asked for.
inline std::map<void*, int> allowed_shared;
constexpr int cudaFuncAttributeMaxDynamicSharedMemorySize = 8;
template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel kernel, int, int bytes) {
  allowed_shared[reinterpret_cast<void*>(kernel)] = bytes;
  return bytes > static_cast<int>(kSharedLimit);
}

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...), Arguments... arguments) {
  const dim3 grid = config->gridDim, block = config->blockDim;
  if (grid.x == 0 || grid.y != 1 || grid.z != 1 || block.x == 0 || block.x > 1024 || block.y != 1) return 1;
  const auto asked = allowed_shared.find(reinterpret_cast<void*>(kernel));
  if (config->dynamicSmemBytes > (asked == allowed_shared.end() ? 48 * 1024 : asked->second)) return 1;
  gridDim = grid;
  blockDim = block;
  shared_bytes = config->dynamicSmemBytes;
  exchanged.assign(blockDim.x, 0);
  fibres.resize(blockDim.x);
  thread_body = [&] { kernel(arguments...); };
  for (unsigned b = 0; b < gridDim.x; ++b) {
    blockIdx = dim3(b);
    run_block();
  }
  return cudaSuccess;
}

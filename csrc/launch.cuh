// What every CUDA source needs to start a kernel, and a kernel to find its shared memory. No torch here.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace jarvis {

// The shared memory whose size is given at the launch.
__device__ inline unsigned char* dynamic_shared() {
  alignas(1024) extern __shared__ unsigned char dynamic_bytes[];
  return dynamic_bytes;
}

// Starts `blocks` blocks; no blocks is no launch. std::runtime_error when CUDA refuses.
template <class... Parameters, class... Arguments>
void launch(const char* op, void (*kernel)(Parameters...), int64_t blocks, int threads, int shared_bytes, void* stream,
            const Arguments&... arguments) {
  if (blocks == 0) return;
  constexpr int kWithoutAsking = 48 * 1024;  // more must be asked for, kernel by kernel
  cudaError_t error = cudaSuccess;
  if (shared_bytes > kWithoutAsking)
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = static_cast<size_t>(shared_bytes);
  config.stream = static_cast<cudaStream_t>(stream);
  if (error == cudaSuccess) error = cudaLaunchKernelEx(&config, kernel, arguments...);
  if (error == cudaSuccess) return;
  cudaGetLastError();  // forgets it: torch's next launch would report it as its own
  throw std::runtime_error(std::string(op) + ": launching " + std::to_string(blocks) + " blocks of " +
                           std::to_string(threads) + " threads with " + std::to_string(shared_bytes) +
                           " bytes of shared memory: " + cudaGetErrorString(error));
}

}  // namespace jarvis

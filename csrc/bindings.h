// What the ops' bindings share: checks, allocation, streams. Included by the *bindings.cpp files alone, which are the only
// ones that know torch, by its stable ABI. Schemas, fakes and gradients are registered in kernels/<op>/op.py.
#pragma once

#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <type_traits>

#include "cpu.h"

namespace jarvis {

using torch::headeronly::IntHeaderOnlyArrayRef;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;

using Three = std::tuple<Tensor, Tensor, Tensor>;

// Row-major and dense, copied only where it is not so already.
inline Tensor dense(const Tensor& tensor) { return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor); }

// A dense, uninitialised tensor beside `like`. Straight to the shim: torch::stable::empty looks its operator up by
// name in the dispatcher at every call.
inline Tensor allocate(IntHeaderOnlyArrayRef sizes, ScalarType dtype, const Tensor& like) {
  constexpr size_t kMaxDims = 16;
  STD_TORCH_CHECK(sizes.size() <= kMaxDims, "a tensor of ", sizes.size(), " dimensions; at most ", kMaxDims);
  int64_t strides[kMaxDims], stride = 1;
  for (size_t d = sizes.size(); d-- > 0; stride *= std::max<int64_t>(1, sizes[d])) strides[d] = stride;
  int32_t device;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(like.get(), &device));
  AtenTensorHandle handle;
  TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(static_cast<int64_t>(sizes.size()), sizes.data(), strides,
                                                  static_cast<int32_t>(dtype), device, like.get_device_index(),
                                                  &handle));
  return Tensor(handle);
}

inline Tensor allocate_like(const Tensor& like) { return allocate(like.sizes(), like.scalar_type(), like); }

inline Tensor in_dtype(const Tensor& tensor, ScalarType dtype) {
  return tensor.scalar_type() == dtype ? tensor : torch::stable::to(tensor, dtype);
}

// Whether two tensors have the same sizes.
inline bool same_sizes(const Tensor& a, const Tensor& b) {
  const auto n = a.sizes(), m = b.sizes();
  return std::equal(n.begin(), n.end(), m.begin(), m.end());
}

inline bool same_device(const Tensor& a, const Tensor& b) {
  return a.is_cuda() == b.is_cuda() && a.get_device_index() == b.get_device_index();
}

template <class T>
T* pointer(const Tensor& tensor) {
  return static_cast<T*>(tensor.data_ptr());
}

template <class T>
T* pointer(const std::optional<Tensor>& tensor) {
  return tensor ? pointer<T>(*tensor) : nullptr;
}

#ifdef JARVIS_NANO_CUDA
// The stream of torch that work on `tensor` belongs to.
inline void* stream_of(const Tensor& tensor) {
#ifdef USE_CUDA
  void* stream;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &stream));
  return stream;
#else
  STD_TORCH_CHECK(false, "this build was linked without torch's CUDA (device ", tensor.get_device_index(), ")");
#endif
}
#endif

}  // namespace jarvis

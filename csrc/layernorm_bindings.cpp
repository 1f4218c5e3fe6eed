// LayerNorm and RMSNorm as torch sees them: kernels/layernorm/op.py.
#include "layernorm.h"

#include "bindings.h"

namespace jarvis {
namespace {

template <class T>
void norm_forward_on(const Tensor& x, const layernorm::CpuForward<T>& args) {
#ifdef JARVIS_NANO_CUDA
  if (x.is_cuda()) {
    const torch::stable::accelerator::DeviceGuard guard(x.get_device_index());
    return layernorm::forward_cuda(args, stream_of(x));
  }
#endif
  layernorm::forward_cpu(args);
}

template <class T>
void norm_backward_on(const Tensor& x, const layernorm::CpuBackward<T>& args) {
#ifdef JARVIS_NANO_CUDA
  if (x.is_cuda()) {
    const torch::stable::accelerator::DeviceGuard guard(x.get_device_index());
    return layernorm::backward_cuda(args, stream_of(x));
  }
#endif
  layernorm::backward_cpu(args);
}

int64_t norm_scratch(const Tensor& x, int64_t rows, int64_t columns) {
#ifdef JARVIS_NANO_CUDA
  if (x.is_cuda()) return layernorm::scratch_size_cuda(rows, columns);
#endif
  return layernorm::scratch_size(rows, columns);
}

// Calls body(T{}) with the C++ type of the dtype.
template <class Body>
void with_norm_type(const Tensor& x, const Body& body) {
  const ScalarType dtype = x.scalar_type();
  if (dtype == ScalarType::Float) return body(float{});
  if (dtype == ScalarType::BFloat16) return body(bfloat16{});
  if (dtype == ScalarType::Half) return body(float16{});
  STD_TORCH_CHECK(false, "layer_norm: x has a dtype that this kernel does not take (float32, bfloat16, float16); use "
                         "backend='reference'");
}

// A tensor as the kernels read it, and where its rows start.
struct Rows {
  Tensor tensor;
  layernorm::Layout layout;
};

// Read in place, or copied where its rows are not dense, lie in more than two regular steps, or the kernel is CUDA's.
Rows rows_of(const Tensor& tensor) {
  if (tensor.is_contiguous()) return {tensor, {}};
  const int64_t last = tensor.dim() - 1;
  if (tensor.is_cuda() || (tensor.size(last) != 1 && tensor.stride(last) != 1)) return {dense(tensor), {}};
  int64_t sizes[2] = {1, 1}, strides[2] = {0, 0};
  int steps = 0;
  for (int64_t d = last - 1; d >= 0; --d) {
    const int64_t size = tensor.size(d), stride = tensor.stride(d);
    if (size == 1) continue;
    if (steps > 0 && stride == sizes[steps - 1] * strides[steps - 1]) {
      sizes[steps - 1] *= size;
    } else if (steps < 2) {
      sizes[steps] = size, strides[steps] = stride;
      ++steps;
    } else {
      return {dense(tensor), {}};
    }
  }
  return {tensor, {sizes[0], strides[1], strides[0]}};
}

std::optional<Rows> rows_of(const std::optional<Tensor>& tensor) {
  return tensor ? std::optional(rows_of(*tensor)) : std::nullopt;
}

template <class T>
T* pointer_of(const std::optional<Rows>& rows) {
  return rows ? pointer<T>(rows->tensor) : nullptr;
}

layernorm::Layout layout(const std::optional<Rows>& rows) { return rows ? rows->layout : layernorm::Layout{}; }

void check_like(const char* name, const Tensor& tensor, const Tensor& x) {
  STD_TORCH_CHECK(tensor.scalar_type() == x.scalar_type() && same_sizes(tensor, x) && same_device(tensor, x),
                  "layer_norm: ", name, " has ", tensor.numel(), " values, x has ", x.numel(),
                  "; sizes, dtype and device must be the same");
}

// What the kernels read for weight and bias: (C) float32 values, dense.
Tensor norm_parameter(const char* name, const Tensor& parameter, const Tensor& x, int64_t columns) {
  STD_TORCH_CHECK(parameter.dim() == 1 && parameter.size(0) == columns && same_device(parameter, x), "layer_norm: ",
                  name, " has ", parameter.numel(), " values, the rows of x have ", columns,
                  "; they must be as many, on one device");
  return dense(in_dtype(parameter, ScalarType::Float));
}

// -> y, x + residual (nothing without a residual), statistics (2, rows): mean, rstd; RMSNorm (1, rows): rstd
Three layer_norm(const Tensor& x, const std::optional<Tensor>& residual, const Tensor& weight,
                 const std::optional<Tensor>& bias, double eps, bool rms) {
  STD_TORCH_CHECK(x.dim() >= 1, "layer_norm: x has no dimension to normalise");
  const int64_t columns = x.size(x.dim() - 1), rows = columns ? x.numel() / columns : 0;
  if (residual) check_like("residual", *residual, x);
  const Rows x_rows = rows_of(x);
  const std::optional<Rows> added = rows_of(residual);
  const Tensor w = norm_parameter("weight", weight, x, columns);
  const std::optional<Tensor> b = bias ? std::optional(norm_parameter("bias", *bias, x, columns)) : std::nullopt;
  const Tensor y = allocate_like(x);
  const Tensor total = residual ? allocate_like(x) : allocate({0}, x.scalar_type(), x);
  const Tensor stats = allocate({rms ? 1 : 2, rows}, ScalarType::Float, x);
  float* mean = rms ? nullptr : pointer<float>(stats);
  if (rows > 0) with_norm_type(x, [&](auto type) {
    using T = decltype(type);
    norm_forward_on(x, layernorm::CpuForward<T>{
        {rows, columns, pointer<T>(x_rows.tensor), pointer_of<T>(added), pointer<float>(w), pointer<float>(b),
        pointer<T>(y), pointer<T>(total), mean, pointer<float>(stats) + (rms ? 0 : rows), static_cast<float>(eps)},
        x_rows.layout, layout(added)});
  });
  return {y, total, stats};
}

// -> dx (the residual's gradient as well), dweight, dbias (nothing without a bias)
Three layer_norm_backward(const Tensor& dy, const std::optional<Tensor>& dtotal, const Tensor& total,
                          const Tensor& weight, const Tensor& stats_in, bool rms, bool has_bias) {
  const Tensor stats = dense(stats_in);
  const int64_t columns = total.size(total.dim() - 1), rows = columns ? total.numel() / columns : 0;
  check_like("dy", dy, total);
  if (dtotal) check_like("dtotal", *dtotal, total);
  const Rows dy_rows = rows_of(dy), total_rows = rows_of(total);
  const std::optional<Rows> more = rows_of(dtotal);
  STD_TORCH_CHECK(stats.scalar_type() == ScalarType::Float && stats.numel() == (rms ? 1 : 2) * rows &&
                      same_device(stats, total),
                  "layer_norm: statistics of ", stats.numel(), " values for ", rows, " rows; float32, on their device");
  const Tensor w = norm_parameter("weight", weight, total, columns);
  const Tensor dx = allocate_like(total);
  const Tensor dweight = allocate({columns}, ScalarType::Float, total);
  const Tensor dbias = allocate({has_bias ? columns : 0}, ScalarType::Float, total);
  const Tensor scratch = allocate({norm_scratch(total, rows, columns)}, ScalarType::Float, total);
  float* mean = rms ? nullptr : pointer<float>(stats);
  with_norm_type(total, [&](auto type) {
    using T = decltype(type);
    norm_backward_on(total, layernorm::CpuBackward<T>{
        {rows, columns, pointer<T>(dy_rows.tensor), pointer_of<T>(more), pointer<T>(total_rows.tensor),
        pointer<float>(w), mean, pointer<float>(stats) + (rms ? 0 : rows), pointer<T>(dx), pointer<float>(dweight),
        has_bias ? pointer<float>(dbias) : nullptr, pointer<float>(scratch)}, dy_rows.layout, layout(more),
        total_rows.layout});
  });
  return {dx, in_dtype(dweight, weight.scalar_type()), in_dtype(dbias, weight.scalar_type())};
}

STABLE_TORCH_LIBRARY_IMPL(jarvis_nano, CPU, m) {
  m.impl("layer_norm", TORCH_BOX(&layer_norm));
  m.impl("layer_norm_backward", TORCH_BOX(&layer_norm_backward));
}

#ifdef JARVIS_NANO_CUDA
STABLE_TORCH_LIBRARY_IMPL(jarvis_nano, CUDA, m) {
  m.impl("layer_norm", TORCH_BOX(&layer_norm));
  m.impl("layer_norm_backward", TORCH_BOX(&layer_norm_backward));
}
#endif

}  // namespace
}  // namespace jarvis

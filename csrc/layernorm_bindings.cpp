// LayerNorm and RMSNorm as torch sees them: kernels/layernorm/op.py.
#include "layernorm.h"

#include "bindings.h"

namespace jarvis {
namespace {

template <class T>
void norm_forward_on(const Tensor& x, const layernorm::Forward<T>& args) {
#ifdef JARVIS_NANO_CUDA
  if (x.is_cuda()) {
    const torch::stable::accelerator::DeviceGuard guard(x.get_device_index());
    return layernorm::forward_cuda(args, stream_of(x));
  }
#endif
  if constexpr (!std::is_same_v<T, float16>) layernorm::forward_cpu(args);
}

template <class T>
void norm_backward_on(const Tensor& x, const layernorm::Backward<T>& args) {
#ifdef JARVIS_NANO_CUDA
  if (x.is_cuda()) {
    const torch::stable::accelerator::DeviceGuard guard(x.get_device_index());
    return layernorm::backward_cuda(args, stream_of(x));
  }
#endif
  if constexpr (!std::is_same_v<T, float16>) layernorm::backward_cpu(args);
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
  if (dtype == ScalarType::Half && x.is_cuda()) return body(float16{});
  STD_TORCH_CHECK(false, "layer_norm: x has a dtype that this kernel does not take (float32, bfloat16; on CUDA also "
                         "float16); use backend='reference'");
}

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
Three layer_norm(const Tensor& x_in, const std::optional<Tensor>& residual, const Tensor& weight,
                 const std::optional<Tensor>& bias, double eps, bool rms) {
  STD_TORCH_CHECK(x_in.dim() >= 1, "layer_norm: x has no dimension to normalise");
  const Tensor x = dense(x_in);
  const int64_t columns = x.size(x.dim() - 1), rows = columns ? x.numel() / columns : 0;
  if (residual) check_like("residual", *residual, x);
  const std::optional<Tensor> added = residual ? std::optional(dense(*residual)) : std::nullopt;
  const Tensor w = norm_parameter("weight", weight, x, columns);
  const std::optional<Tensor> b = bias ? std::optional(norm_parameter("bias", *bias, x, columns)) : std::nullopt;
  const Tensor y = allocate_like(x);
  const Tensor total = residual ? allocate_like(x) : allocate({0}, x.scalar_type(), x);
  const Tensor stats = allocate({rms ? 1 : 2, rows}, ScalarType::Float, x);
  float* mean = rms ? nullptr : pointer<float>(stats);
  if (rows > 0) with_norm_type(x, [&](auto type) {
    using T = decltype(type);
    norm_forward_on(x, layernorm::Forward<T>{
        rows, columns, pointer<T>(x), pointer<T>(added), pointer<float>(w), pointer<float>(b), pointer<T>(y),
        pointer<T>(total), mean, pointer<float>(stats) + (rms ? 0 : rows), static_cast<float>(eps)});
  });
  return {y, total, stats};
}

// -> dx (the residual's gradient as well), dweight, dbias (nothing without a bias)
Three layer_norm_backward(const Tensor& dy_in, const std::optional<Tensor>& dtotal, const Tensor& total_in,
                          const Tensor& weight, const Tensor& stats_in, bool rms, bool has_bias) {
  const Tensor total = dense(total_in), dy = dense(dy_in), stats = dense(stats_in);
  const int64_t columns = total.size(total.dim() - 1), rows = columns ? total.numel() / columns : 0;
  check_like("dy", dy, total);
  if (dtotal) check_like("dtotal", *dtotal, total);
  const std::optional<Tensor> more = dtotal ? std::optional(dense(*dtotal)) : std::nullopt;
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
    norm_backward_on(total, layernorm::Backward<T>{
        rows, columns, pointer<T>(dy), pointer<T>(more), pointer<T>(total), pointer<float>(w), mean,
        pointer<float>(stats) + (rms ? 0 : rows), pointer<T>(dx), pointer<float>(dweight),
        has_bias ? pointer<float>(dbias) : nullptr, pointer<float>(scratch)});
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

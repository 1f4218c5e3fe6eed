// GELU, SwiGLU and ReLU² as torch sees them: kernels/activation/op.py.
#include "activation.h"

#include <string>
#include <vector>

#include "bindings.h"

namespace jarvis {
namespace {

using activation::Kind;

Kind activation_kind(const std::string& name) {
  if (name == "gelu") return Kind::gelu;
  if (name == "relu_squared") return Kind::relu_squared;
  STD_TORCH_CHECK(name == "swiglu", "activation: unknown kind '", name, "'; expected gelu, relu_squared or swiglu");
  return Kind::swiglu;
}

// Calls body(T{}) with the C++ type of the dtype.
template <class Body>
void with_activation_type(const Tensor& x, const Body& body) {
  const ScalarType dtype = x.scalar_type();
  if (dtype == ScalarType::Float) return body(float{});
  if (dtype == ScalarType::BFloat16) return body(bfloat16{});
  if (dtype == ScalarType::Half) return body(float16{});
  STD_TORCH_CHECK(false, "activation: x has a dtype that this kernel does not take (float32, bfloat16, float16); "
                         "use backend='reference'");
}

// The width of the result's rows for rows of x.
int64_t activation_width(const Tensor& x, Kind kind) {
  STD_TORCH_CHECK(x.dim() >= 1, "activation: x has no dimension");
  const int64_t wide = x.size(x.dim() - 1);
  if (kind != Kind::swiglu) return wide;
  STD_TORCH_CHECK(wide % 2 == 0, "activation: swiglu takes gate and value side by side; rows of ", wide, " are odd");
  return wide / 2;
}

// What the kernels read for the bias: float32 values, dense.
std::optional<Tensor> activation_bias(const std::optional<Tensor>& bias, const Tensor& x) {
  if (!bias) return std::nullopt;
  const int64_t wide = x.size(x.dim() - 1);
  STD_TORCH_CHECK(bias->dim() == 1 && bias->size(0) == wide && same_device(*bias, x), "activation: the bias has ",
                  bias->numel(), " values, the rows of x have ", wide, "; they must be as many, on one device");
  return dense(in_dtype(*bias, ScalarType::Float));
}

// x's sizes with the last one changed.
Tensor allocate_rows(const Tensor& x, int64_t columns) {
  const auto sizes = x.sizes();
  std::vector<int64_t> wanted(sizes.begin(), sizes.end());
  wanted.back() = columns;
  return allocate(wanted, x.scalar_type(), x);
}

Tensor activation_forward(const Tensor& x_in, const std::optional<Tensor>& bias, std::string name) {
  const Kind kind = activation_kind(name);
  const int64_t columns = activation_width(x_in, kind);
  const Tensor x = dense(x_in), y = allocate_rows(x, columns);
  const std::optional<Tensor> b = activation_bias(bias, x);
  const int64_t rows = columns ? y.numel() / columns : 0;
  with_activation_type(x, [&](auto type) {
    using T = decltype(type);
    activation::forward_cpu(kind, activation::Forward<T>{rows, columns, pointer<T>(x), pointer<float>(b), pointer<T>(y)});
  });
  return y;
}

// dbias (nothing without a bias) of dense tensors; dx and, unless it is none, y are written.
Tensor backward_into(const Tensor& dx, const std::optional<Tensor>& y, const Tensor& dy, const Tensor& x,
                     const std::optional<Tensor>& bias, Kind kind) {
  const int64_t columns = activation_width(x, kind), wide = x.size(x.dim() - 1);
  const int64_t rows = columns ? x.numel() / wide : 0;
  STD_TORCH_CHECK(dy.scalar_type() == x.scalar_type() && dy.dim() == x.dim() && dy.numel() == rows * columns &&
                      same_device(dy, x),
                  "activation: dy has ", dy.numel(), " values, the result has ", rows * columns,
                  "; sizes, dtype and device must be the result's");
  const std::optional<Tensor> b = activation_bias(bias, x);
  const Tensor dbias = allocate({b ? wide : 0}, b ? ScalarType::Float : x.scalar_type(), x);
  const Tensor scratch = allocate({b ? activation::scratch_size(rows, wide) : 0}, ScalarType::Float, x);
  with_activation_type(x, [&](auto type) {
    using T = decltype(type);
    activation::backward_cpu(kind, activation::Backward<T>{
        rows, columns, pointer<T>(dy), pointer<T>(x), pointer<float>(b), pointer<T>(dx), pointer<T>(y),
        b ? pointer<float>(dbias) : nullptr, pointer<float>(scratch)});
  });
  return b ? in_dtype(dbias, bias->scalar_type()) : dbias;
}

// -> dx, dbias
std::tuple<Tensor, Tensor> activation_backward(const Tensor& dy, const Tensor& x_in, const std::optional<Tensor>& bias,
                                               std::string name) {
  const Tensor x = dense(x_in), dx = allocate_like(x);
  return {dx, backward_into(dx, std::nullopt, dense(dy), x, bias, activation_kind(name))};
}

// x turns into dx, dy into the result that the forward made of x -> dbias
Tensor activation_backward_in_place(Tensor dy, Tensor x, const std::optional<Tensor>& bias, std::string name) {
  STD_TORCH_CHECK(dy.is_contiguous() && x.is_contiguous(),
                  "activation_backward_: dy or x is strided; it writes where they lie, give it dense ones");
  return backward_into(x, dy, dy, x, bias, activation_kind(name));
}

STABLE_TORCH_LIBRARY_IMPL(jarvis_nano, CPU, m) {
  m.impl("activation", TORCH_BOX(&activation_forward));
  m.impl("activation_backward", TORCH_BOX(&activation_backward));
  m.impl("activation_backward_", TORCH_BOX(&activation_backward_in_place));
}

}  // namespace
}  // namespace jarvis

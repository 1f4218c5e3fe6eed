// Linear layers as torch sees them: kernels/linear_layer/op.py.
#include "linear.h"

#include <vector>

#include "bindings.h"

namespace jarvis {
namespace {

void check_float(const char* name, const Tensor& tensor) {
  STD_TORCH_CHECK(tensor.scalar_type() == ScalarType::Float, "linear: ", name,
                  " has a dtype that this kernel does not take (float32); use backend='reference'");
  STD_TORCH_CHECK(linear::has_tiles(), "linear: this process may not use tiles (AMX); set JARVIS_NANO_CPU=amx on a "
                                       "processor that has them, or use backend='reference'");
}

// A matrix that the kernel can read in place, copied only where neither stride is 1.
Tensor readable(const Tensor& matrix) {
  const bool rows = matrix.size(1) <= 1 || matrix.stride(1) == 1;
  const bool columns = matrix.size(0) <= 1 || matrix.stride(0) == 1;
  return rows || columns ? matrix : torch::stable::contiguous(matrix);
}

linear::Matrix view(const Tensor& matrix) {
  const bool rows = matrix.size(1) <= 1 || matrix.stride(1) == 1;
  return {pointer<float>(matrix), rows ? matrix.stride(0) : 1, rows ? 1 : matrix.stride(1)};
}

// (…, C), dense, as (rows, C).
linear::Matrix rows_of(const Tensor& tensor, int64_t columns) { return {pointer<float>(tensor), columns, 1}; }

linear::Matrix transposed(const linear::Matrix& m) { return {m.data, m.column_stride, m.row_stride}; }

Tensor linear_forward(const Tensor& x_in, const Tensor& weight_in, const std::optional<Tensor>& bias_in) {
  check_float("x", x_in);
  check_float("weight", weight_in);
  STD_TORCH_CHECK(x_in.dim() >= 1 && weight_in.dim() == 2 && x_in.size(x_in.dim() - 1) == weight_in.size(1),
                  "linear: x has ", x_in.numel(), " values, weight ", weight_in.numel(),
                  "; expected (…, K) and (N, K)");
  const Tensor x = dense(x_in), weight = readable(weight_in);
  const int64_t N = weight.size(0), K = weight.size(1);
  std::optional<Tensor> bias;
  if (bias_in) {
    check_float("bias", *bias_in);
    STD_TORCH_CHECK(bias_in->dim() == 1 && bias_in->size(0) == N, "linear: bias has ", bias_in->numel(),
                    " values, weight has ", N, " rows");
    bias = dense(*bias_in);
  }
  std::vector<int64_t> sizes(x.sizes().begin(), x.sizes().end());
  int64_t rows = 1;
  for (size_t d = 0; d + 1 < sizes.size(); ++d) rows *= sizes[d];
  sizes.back() = N;
  const Tensor y = allocate({sizes.data(), sizes.size()}, ScalarType::Float, x);
  linear::product_cpu({rows, N, K, rows_of(x, K), transposed(view(weight)), pointer<float>(bias), pointer<float>(y), N,
                       false, nullptr});
  return y;
}

// -> dx, d_weight, d_bias; empty where they are not needed
Three linear_backward(const Tensor& dy_in, const Tensor& x_in, const Tensor& weight_in, bool needs_dx,
                      bool needs_d_weight, bool needs_d_bias) {
  check_float("dy", dy_in);
  check_float("x", x_in);
  check_float("weight", weight_in);
  const Tensor dy = dense(dy_in), x = dense(x_in), weight = readable(weight_in);
  STD_TORCH_CHECK(weight.dim() == 2 && x.dim() >= 1 && dy.dim() == x.dim(), "linear: weight, x and dy have ",
                  weight.dim(), ", ", x.dim(), " and ", dy.dim(), " dimensions; expected 2 and as many as each other");
  const int64_t N = weight.size(0), K = weight.size(1);
  int64_t rows = 1;
  for (int64_t d = 0; d + 1 < x.dim(); ++d) rows *= x.size(d);
  STD_TORCH_CHECK(x.numel() == rows * K && dy.numel() == rows * N, "linear: dy has ", dy.numel(), " values and x ",
                  x.numel(), ", for ", rows, " rows of ", N, " and ", K);
  const auto made = [&](bool needed, IntHeaderOnlyArrayRef sizes) {
    return needed ? allocate(sizes, ScalarType::Float, x) : allocate({0}, ScalarType::Float, x);
  };
  const Tensor dx = made(needs_dx, x.sizes()), d_bias = made(needs_d_bias, {N});
  const Tensor d_weight = made(needs_d_weight || needs_d_bias, {N, K});
  if (needs_dx)
    linear::product_cpu({rows, K, N, rows_of(dy, N), view(weight), nullptr, pointer<float>(dx), K, false, nullptr});
  if (needs_d_weight || needs_d_bias)
    linear::product_cpu({N, K, rows, transposed(rows_of(dy, N)), rows_of(x, K), nullptr, pointer<float>(d_weight), K,
                         false, needs_d_bias ? pointer<float>(d_bias) : nullptr});
  return {dx, needs_d_weight ? d_weight : made(false, {0}), d_bias};
}

void matrix_product(Tensor out, const Tensor& a_in, const Tensor& b_in, bool add) {
  check_float("a", a_in);
  check_float("b", b_in);
  check_float("out", out);
  STD_TORCH_CHECK(a_in.dim() == 2 && b_in.dim() == 2 && out.dim() == 2 && a_in.size(1) == b_in.size(0) &&
                      out.size(0) == a_in.size(0) && out.size(1) == b_in.size(1) &&
                      (out.size(1) <= 1 || out.stride(1) == 1),
                  "matrix_product_: a, b and out have ", a_in.numel(), ", ", b_in.numel(), " and ", out.numel(),
                  " values; expected (M, K), (K, N) and (M, N) with rows of neighbours");
  const Tensor a = readable(a_in), b = readable(b_in);
  linear::product_cpu({out.size(0), out.size(1), a.size(1), view(a), view(b), nullptr, pointer<float>(out),
                       out.stride(0), add, nullptr});
}

bool has_tiles() { return linear::has_tiles(); }

STABLE_TORCH_LIBRARY_IMPL(jarvis_nano, CPU, m) {
  m.impl("linear", TORCH_BOX(&linear_forward));
  m.impl("linear_backward", TORCH_BOX(&linear_backward));
  m.impl("matrix_product_", TORCH_BOX(&matrix_product));
}

STABLE_TORCH_LIBRARY_IMPL(jarvis_nano, CompositeExplicitAutograd, m) { m.impl("has_tiles", TORCH_BOX(&has_tiles)); }

}  // namespace
}  // namespace jarvis

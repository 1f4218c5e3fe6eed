// AdamW as torch sees it: kernels/adamw/op.py.
#include "adamw.h"

#include <limits>

#include "bindings.h"

namespace jarvis {
namespace {

using Tensors = std::vector<Tensor>;

// What the kernel updates in place: float32, dense, of the parameter's sizes.
float* updated(const char* name, size_t i, const Tensor& tensor, const Tensor& parameter) {
  STD_TORCH_CHECK(same_sizes(tensor, parameter), "adamw_step: ", name, "[", i, "] has ", tensor.numel(),
                  " values, its parameter ", parameter.numel(), "; their shapes must be the same");
  STD_TORCH_CHECK(tensor.scalar_type() == ScalarType::Float && tensor.is_contiguous() && tensor.is_cpu(),
                  "adamw_step in cpp updates contiguous float32 tensors on the CPU in place; ", name, "[", i,
                  "] is not one; use backend='reference'");
  return pointer<float>(tensor);
}

adamw::GradientType gradient_type(const Tensor& gradient, size_t i) {
  const ScalarType dtype = gradient.scalar_type();
  if (dtype == ScalarType::Float) return adamw::GradientType::float32;
  if (dtype == ScalarType::BFloat16) return adamw::GradientType::bfloat16;
  STD_TORCH_CHECK(dtype == ScalarType::Half, "adamw_step in cpp takes gradients in float32, bfloat16 and float16; grads[",
                  i, "] has another dtype; use backend='reference'");
  return adamw::GradientType::float16;
}

// One value, or one for each of the n tensors.
std::vector<double> one_or_each(const char* name, const Tensor& given, size_t n) {
  STD_TORCH_CHECK(given.is_cpu(), "adamw_step: ", name, " lies on another device than the tensors");
  STD_TORCH_CHECK(given.numel() == 1 || given.numel() == static_cast<int64_t>(n), "adamw_step: ", name, " has ",
                  given.numel(), " values; expected 1 or ", n);
  const Tensor values = dense(in_dtype(given, ScalarType::Double));
  std::vector<double> result(n, *pointer<double>(values));
  if (values.numel() > 1) std::copy_n(pointer<double>(values), n, result.begin());
  return result;
}

// -> norms of the gradients, of the updates, of the new weights (n); of all gradients ()
std::tuple<Tensor, Tensor, Tensor, Tensor> adamw_step(const Tensors& params, const Tensors& grads,
                                                      const Tensors& exp_avg, const Tensors& exp_avg_sq,
                                                      const Tensor& lr, const Tensor& weight_decay, const Tensor& step,
                                                      double beta1, double beta2, double eps,
                                                      std::optional<double> max_norm) {
  const size_t n = params.size();
  STD_TORCH_CHECK(n > 0 && grads.size() == n && exp_avg.size() == n && exp_avg_sq.size() == n, "adamw_step: ", n,
                  " parameters, ", grads.size(), " gradients, ", exp_avg.size(), " and ", exp_avg_sq.size(),
                  " moments; there must be as many of each, at least one");
  const std::vector<double> rates = one_or_each("lr", lr, n), decays = one_or_each("weight_decay", weight_decay, n);
  const double t = one_or_each("step", step, 1)[0];
  STD_TORCH_CHECK(t >= 1, "adamw_step: step ", t, "; the first step is 1");
  Tensors kept;  // gradients that had to be copied live as long as their pointers
  kept.reserve(n);
  std::vector<adamw::Operand> operands;
  operands.reserve(n);
  for (size_t i = 0; i < n; ++i) {
    const Tensor &p = params[i], &g = grads[i];
    STD_TORCH_CHECK(same_sizes(g, p) && g.is_cpu(), "adamw_step: grads[", i, "] has ", g.numel(),
                    " values, its parameter ", p.numel(), "; shape and device must be the same");
    kept.push_back(dense(g));
    operands.push_back({p.numel(), updated("params", i, p, p), updated("exp_avg", i, exp_avg[i], p),
                        updated("exp_avg_sq", i, exp_avg_sq[i], p), kept[i].data_ptr(), gradient_type(g, i), rates[i],
                        decays[i]});
  }
  const int64_t count = static_cast<int64_t>(n);
  const Tensor gradient = allocate({count}, ScalarType::Float, params[0]), update = allocate_like(gradient),
               weight = allocate_like(gradient), total = allocate({}, ScalarType::Float, gradient);
  adamw::step_cpu(operands, {t, beta1, beta2, eps, max_norm.value_or(std::numeric_limits<double>::infinity())},
                  {pointer<float>(gradient), pointer<float>(update), pointer<float>(weight), pointer<float>(total)});
  return {gradient, update, weight, total};
}

STABLE_TORCH_LIBRARY_IMPL(jarvis_nano, CPU, m) { m.impl("adamw_step", TORCH_BOX(&adamw_step)); }

}  // namespace
}  // namespace jarvis

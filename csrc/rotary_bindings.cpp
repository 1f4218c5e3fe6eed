// Rotary positions as torch sees them: kernels/rotary/op.py.
#include "rotary.h"

#include "bindings.h"

namespace jarvis {
namespace {

// Calls body(T{}) with the C++ type of the dtype.
template <class Body>
void with_rotary_type(const Tensor& x, const Body& body) {
  const ScalarType dtype = x.scalar_type();
  if (dtype == ScalarType::Float) return body(float{});
  if (dtype == ScalarType::BFloat16) return body(bfloat16{});
  if (dtype == ScalarType::Half) return body(float16{});
  STD_TORCH_CHECK(false, "rotary: x has a dtype that this kernel does not take (float32, bfloat16, float16); "
                         "use backend='reference'");
}

// What the kernel reads for cos and sin: float32 values, dense.
Tensor rotary_table(const char* name, const Tensor& table, const Tensor& like, const Tensor& x) {
  const bool fits = table.dim() == 2 && 2 * table.size(1) == x.size(3) && same_sizes(table, like);
  STD_TORCH_CHECK(fits && same_device(table, x), "rotary: ", name, " has ", table.numel(), " values; cos and sin must "
                  "have (context, ", x.size(3) / 2, "), on x's device");
  return dense(in_dtype(table, ScalarType::Float));
}

void check_positions(const Tensor& positions, const Tensor& x) {
  const int64_t d = positions.dim();
  const bool fits = (d == 1 || (d == 2 && positions.size(0) == x.size(0))) && positions.size(d - 1) == x.size(1);
  STD_TORCH_CHECK(fits && positions.scalar_type() == ScalarType::Long && same_device(positions, x), "rotary: ",
                  positions.numel(), " positions for ", x.size(0), " texts of ", x.size(1),
                  " tokens; expected (T) or (B, T) in int64, on x's device");
}

Tensor turn(const Tensor& x_in, const Tensor& cos_in, const Tensor& sin_in, const std::optional<Tensor>& positions,
            bool backwards) {
  STD_TORCH_CHECK(x_in.dim() == 4 && x_in.size(3) % 2 == 0, "rotary: x of ", x_in.dim(),
                  " dimensions; expected (batch, time, heads, width) with an even width");
  const Tensor x = x_in.stride(3) == 1 ? x_in : dense(x_in);
  const Tensor cos = rotary_table("cos", cos_in, sin_in, x), sin = rotary_table("sin", sin_in, cos_in, x);
  if (positions) check_positions(*positions, x);
  STD_TORCH_CHECK(positions || cos.size(0) >= x.size(1), "rotary: ", x.size(1), " tokens, but cos and sin have ",
                  cos.size(0), " positions");
  const int64_t d = positions ? positions->dim() : 0;
  const Tensor y = allocate(x.sizes(), x.scalar_type(), x);
  with_rotary_type(x, [&](auto type) {
    using T = decltype(type);
    rotary::turn_cpu(rotary::Turn<T>{
        x.size(0), x.size(1), x.size(2), x.size(3) / 2, pointer<T>(x), x.stride(0), x.stride(1), x.stride(2),
        pointer<float>(cos), pointer<float>(sin), cos.size(0), pointer<int64_t>(positions),
        d == 2 ? positions->stride(0) : 0, d ? positions->stride(d - 1) : 0, pointer<T>(y), backwards});
  });
  return y;
}

Tensor rotary_forward(const Tensor& x, const Tensor& cos, const Tensor& sin, const std::optional<Tensor>& positions) {
  return turn(x, cos, sin, positions, false);
}

Tensor rotary_backward(const Tensor& dy, const Tensor& cos, const Tensor& sin, const std::optional<Tensor>& positions) {
  return turn(dy, cos, sin, positions, true);
}

STABLE_TORCH_LIBRARY_IMPL(jarvis_nano, CPU, m) {
  m.impl("rotary", TORCH_BOX(&rotary_forward));
  m.impl("rotary_backward", TORCH_BOX(&rotary_backward));
}

}  // namespace
}  // namespace jarvis

// Causal attention as torch sees it: kernels/attention/op.py.
#include "attention.h"

#include "bindings.h"

namespace jarvis {
namespace {

// (B, H, T, D) lying as (B, T, H, D): what follows reshapes it to (B, T, H·D) for free.
Tensor allocate_heads(int64_t B, int64_t H, int64_t T, int64_t D, const Tensor& like) {
  const int64_t width = std::max<int64_t>(1, D), row = std::max<int64_t>(1, H) * width;
  const int64_t sizes[] = {B, H, T, D}, strides[] = {std::max<int64_t>(1, T) * row, width, row, 1};
  int32_t device;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(like.get(), &device));
  AtenTensorHandle handle;
  TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(4, sizes, strides, static_cast<int32_t>(like.scalar_type()), device,
                                                  like.get_device_index(), &handle));
  return Tensor(handle);
}

// Any strides, but the D values of a position side by side; on CUDA every position also starts at 16 bytes. Copied only
// where it is not so already.
Tensor readable_heads(const Tensor& tensor) {
  if (tensor.size(3) > 1 && tensor.stride(3) != 1) return torch::stable::contiguous(tensor);
  if (!tensor.is_cuda()) return tensor;
  const auto misaligned = [](int64_t bytes) { return bytes % attention::kCudaAlignment != 0; };
  bool copy = misaligned(static_cast<int64_t>(reinterpret_cast<uintptr_t>(tensor.data_ptr())));
  for (int d = 0; d < 3; ++d) copy = copy || (tensor.size(d) > 1 && misaligned(2 * tensor.stride(d)));
  if (!copy) return tensor;
  Tensor aligned = allocate_like(tensor);  // `contiguous` would hand back a dense tensor that starts between
  torch::stable::copy_(aligned, tensor);
  return aligned;
}

template <class Number>
attention::Heads<Number> heads(const Tensor& tensor) {
  return {pointer<Number>(tensor), tensor.stride(0), tensor.stride(1), tensor.stride(2)};
}

attention::Shape attention_shape(const Tensor& q, const Tensor& k, const Tensor& v, double scale) {
  STD_TORCH_CHECK(q.dim() == 4 && k.dim() == 4 && v.dim() == 4, "causal_attention: q, k and v have ", q.dim(), ", ",
                  k.dim(), " and ", v.dim(), " dimensions; expected (batch, heads, time, width)");
  const attention::Shape shape{q.size(0), q.size(1), k.size(1), q.size(2), k.size(2), q.size(3),
                               static_cast<float>(scale), nullptr};
  STD_TORCH_CHECK(same_device(k, q) && same_device(v, q), "causal_attention: q, k and v lie on different devices");
  STD_TORCH_CHECK(k.scalar_type() == q.scalar_type() && v.scalar_type() == q.scalar_type() && same_sizes(k, v) &&
                      k.size(0) == shape.B && k.size(3) == shape.D && shape.S >= shape.T &&
                      (shape.Hkv > 0 ? shape.H % shape.Hkv == 0 : shape.H == 0),
                  "causal_attention: q (", shape.B, ", ", shape.H, ", ", shape.T, ", ", shape.D, ") does not go with k (",
                  k.size(0), ", ", shape.Hkv, ", ", shape.S, ", ", k.size(3), "), or v or the dtypes differ");
  return shape;
}

// The first key that each query sees, (B, T) int32; nothing when that is all of the past.
std::optional<Tensor> first_visible(const attention::Shape& shape, const std::optional<int64_t>& window,
                                    const std::optional<Tensor>& document, const Tensor& like) {
  if (!window && !document) return std::nullopt;
  STD_TORCH_CHECK(!window || *window > 0, "causal_attention: a window of ", *window, " positions");
  STD_TORCH_CHECK(!document || (document->dim() == 2 && document->size(0) == shape.B && document->size(1) == shape.S),
                  "causal_attention: ", document->numel(), " document ids for ", shape.B, " x ", shape.S, " keys");
  const std::optional<Tensor> ids =
      document ? std::optional(dense(in_dtype(*document, ScalarType::Int))) : std::nullopt;
  STD_TORCH_CHECK(!document || same_device(*document, like), "causal_attention: ", document->numel(),
                  " document ids on another device than q");
  const Tensor first = allocate({shape.B, shape.T}, ScalarType::Int, like);
#ifdef JARVIS_NANO_CUDA
  if (like.is_cuda()) {
    const torch::stable::accelerator::DeviceGuard guard(like.get_device_index());
    attention::first_visible_cuda(shape, window.value_or(0), pointer<int32_t>(ids), pointer<int32_t>(first),
                                  stream_of(like));
    return first;
  }
#endif
  attention::first_visible(shape, window.value_or(0), pointer<int32_t>(ids), pointer<int32_t>(first));
  return first;
}

// Calls body(T{}) with the C++ type of q's dtype; checks what the device's kernels take.
template <class Body>
void with_attention_type(const Tensor& q, const Body& body) {
  const ScalarType dtype = q.scalar_type();
  if (q.is_cuda()) {
    const int64_t D = q.size(3);
    STD_TORCH_CHECK(std::ranges::count(attention::kCudaWidths, D), "causal_attention: heads of ", D,
                    " values; the CUDA kernel takes 64 and 128; use backend='triton'");
    if (dtype == ScalarType::BFloat16) return body(bfloat16{});
    if (dtype == ScalarType::Half) return body(float16{});
    STD_TORCH_CHECK(false, "causal_attention: q has a dtype that the CUDA kernel does not take (bfloat16, float16); use "
                           "backend='triton'");
  }
  if (dtype == ScalarType::Float) return body(float{});
  if (dtype == ScalarType::BFloat16) return body(bfloat16{});
  if (dtype == ScalarType::Half) return body(float16{});
  STD_TORCH_CHECK(false, "causal_attention: q has a dtype that this kernel does not take (float32, bfloat16, float16); "
                         "use backend='reference'");
}

template <class T>
void attention_forward_on(const Tensor& q, const attention::Forward<T>& args) {
#ifdef JARVIS_NANO_CUDA
  if constexpr (!std::is_same_v<T, float>)
    if (q.is_cuda()) {
      const torch::stable::accelerator::DeviceGuard guard(q.get_device_index());
      return attention::forward_cuda(args, stream_of(q));
    }
#endif
  attention::forward_cpu(args);
}

template <class T>
void attention_backward_on(const Tensor& q, const attention::Backward<T>& args) {
#ifdef JARVIS_NANO_CUDA
  if constexpr (!std::is_same_v<T, float>)
    if (q.is_cuda()) {
      const torch::stable::accelerator::DeviceGuard guard(q.get_device_index());
      const Tensor scratch = allocate({attention::scratch_size_cuda(args)}, ScalarType::Float, q);
      return attention::backward_cuda(args, pointer<float>(scratch), stream_of(q));
    }
#endif
  attention::backward_cpu(args);
}

// -> out (B, H, T, D), lse (B, H, T) float32
std::tuple<Tensor, Tensor> causal_attention(const Tensor& q_in, const Tensor& k_in, const Tensor& v_in, double scale,
                                            std::optional<int64_t> window, const std::optional<Tensor>& document) {
  attention::Shape shape = attention_shape(q_in, k_in, v_in, scale);
  const Tensor q = readable_heads(q_in), k = readable_heads(k_in), v = readable_heads(v_in);
  const std::optional<Tensor> first = first_visible(shape, window, document, q);
  shape.first = pointer<int32_t>(first);
  const Tensor out = allocate_heads(shape.B, shape.H, shape.T, shape.D, q);
  const Tensor lse = allocate({shape.B, shape.H, shape.T}, ScalarType::Float, q);
  with_attention_type(q, [&](auto type) {
    using T = decltype(type);
    attention_forward_on(q, attention::Forward<T>{shape, heads<T>(q), heads<T>(k), heads<T>(v), heads<T>(out),
                                                  pointer<float>(lse)});
  });
  return {out, lse};
}

// -> dq, dk, dv
Three causal_attention_backward(const Tensor& d_out_in, const Tensor& q_in, const Tensor& k_in, const Tensor& v_in,
                                const Tensor& out_in, const Tensor& lse_in, double scale,
                                std::optional<int64_t> window, const std::optional<Tensor>& document) {
  attention::Shape shape = attention_shape(q_in, k_in, v_in, scale);
  STD_TORCH_CHECK(d_out_in.scalar_type() == q_in.scalar_type() && same_sizes(d_out_in, q_in) &&
                      out_in.scalar_type() == q_in.scalar_type() && same_sizes(out_in, q_in) &&
                      lse_in.scalar_type() == ScalarType::Float && lse_in.numel() == shape.B * shape.H * shape.T,
                  "causal_attention: the gradient has ", d_out_in.numel(), " values, out ", out_in.numel(), ", q ",
                  q_in.numel(), ", lse ", lse_in.numel(), "; sizes and dtypes must fit");
  STD_TORCH_CHECK(same_device(d_out_in, q_in) && same_device(out_in, q_in) && same_device(lse_in, q_in),
                  "causal_attention: the gradient, out and lse must lie on q's device");
  const Tensor q = readable_heads(q_in), k = readable_heads(k_in), v = readable_heads(v_in), out = readable_heads(out_in);
  const Tensor d_out = readable_heads(d_out_in), lse = dense(lse_in);
  const std::optional<Tensor> first = first_visible(shape, window, document, q);
  shape.first = pointer<int32_t>(first);
  const Tensor dq = allocate_heads(shape.B, shape.H, shape.T, shape.D, q);
  const Tensor dk = allocate_heads(shape.B, shape.Hkv, shape.S, shape.D, q);
  const Tensor dv = allocate_heads(shape.B, shape.Hkv, shape.S, shape.D, q);
  with_attention_type(q, [&](auto type) {
    using T = decltype(type);
    attention_backward_on(q, attention::Backward<T>{shape, heads<T>(q), heads<T>(k), heads<T>(v), heads<T>(out),
                                                    heads<T>(d_out), heads<T>(dq), heads<T>(dk), heads<T>(dv),
                                                    pointer<float>(lse)});
  });
  return {dq, dk, dv};
}

// The heads from `first` on of a dense (B, T, heads, D).
template <class Number>
attention::Heads<Number> packed_heads(const Tensor& packed, int64_t first) {
  const int64_t D = packed.size(3), row = packed.size(2) * D;
  return {pointer<Number>(packed) + first * D, packed.size(1) * row, D, row};
}

// q, k and v side by side in qkv (B, T, H + 2 Hkv, D) -> their gradients side by side, so that nobody has to join them.
Tensor causal_attention_packed_backward(const Tensor& d_out_in, const Tensor& qkv_in, const Tensor& out_in,
                                        const Tensor& lse_in, int64_t n_heads, double scale,
                                        std::optional<int64_t> window, const std::optional<Tensor>& document) {
  const Tensor qkv = dense(qkv_in), d_out = readable_heads(d_out_in), out = readable_heads(out_in), lse = dense(lse_in);
  const int64_t B = qkv.size(0), T = qkv.size(1), D = qkv.size(3), Hkv = (qkv.size(2) - n_heads) / 2;
  attention::Shape shape{B, n_heads, Hkv, T, T, D, static_cast<float>(scale), nullptr};
  const auto is_result = [&](const Tensor& t) {
    return t.scalar_type() == qkv.scalar_type() && t.dim() == 4 && t.size(0) == B && t.size(1) == n_heads &&
           t.size(2) == T && t.size(3) == D;
  };
  STD_TORCH_CHECK(Hkv > 0 && n_heads % Hkv == 0 && n_heads + 2 * Hkv == qkv.size(2) && is_result(d_out) &&
                      is_result(out) && lse.scalar_type() == ScalarType::Float && lse.numel() == B * n_heads * T,
                  "causal_attention: the gradient has ", d_out.numel(), " values, out ", out.numel(), ", lse ",
                  lse.numel(), " for ", n_heads, " heads of qkv (", B, ", ", T, ", ", qkv.size(2), ", ", D, ")");
  const std::optional<Tensor> first = first_visible(shape, window, document, qkv);
  shape.first = pointer<int32_t>(first);
  const Tensor d_qkv = allocate_like(qkv);
  with_attention_type(qkv, [&](auto type) {
    using Number = decltype(type);
    const auto at = [&](const Tensor& packed, int64_t head) { return packed_heads<Number>(packed, head); };
    attention::backward_cpu(attention::Backward<Number>{
        shape, at(qkv, 0), at(qkv, n_heads), at(qkv, n_heads + Hkv), heads<Number>(out), heads<Number>(d_out),
        at(d_qkv, 0), at(d_qkv, n_heads), at(d_qkv, n_heads + Hkv), pointer<float>(lse)});
  });
  return d_qkv;
}

STABLE_TORCH_LIBRARY_IMPL(jarvis_nano, CPU, m) {
  m.impl("causal_attention", TORCH_BOX(&causal_attention));
  m.impl("causal_attention_backward", TORCH_BOX(&causal_attention_backward));
  m.impl("causal_attention_packed_backward", TORCH_BOX(&causal_attention_packed_backward));
}

#ifdef JARVIS_NANO_CUDA
STABLE_TORCH_LIBRARY_IMPL(jarvis_nano, CUDA, m) {
  m.impl("causal_attention", TORCH_BOX(&causal_attention));
  m.impl("causal_attention_backward", TORCH_BOX(&causal_attention_backward));
}
#endif

}  // namespace
}  // namespace jarvis

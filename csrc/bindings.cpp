// The ops' kernels as torch sees them: checks, allocation, threads. The only file that includes torch, by its stable
// ABI. Schemas, fakes and gradients are registered in kernels/<op>/op.py; one section an op here.
#include <Python.h>

#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <type_traits>

#include "attention.h"
#include "cpu.h"
#include "cross_entropy.h"
#include "layernorm.h"

using torch::headeronly::IntHeaderOnlyArrayRef;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;

namespace jarvis {

void parallel_ranges(int64_t begin, int64_t end, int64_t grain, void (*run)(int64_t, int64_t, void*), void* context) {
  if (end > begin) TORCH_ERROR_CODE_CHECK(torch_parallel_for(begin, end, grain, run, context));
}

int thread_count() { return static_cast<int>(torch::stable::get_num_threads()); }

namespace {

// Row-major and dense, copied only where it is not so already.
Tensor dense(const Tensor& tensor) { return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor); }

// A dense, uninitialised tensor beside `like`. Straight to the shim: torch::stable::empty looks its operator up by
// name in the dispatcher at every call.
Tensor allocate(IntHeaderOnlyArrayRef sizes, ScalarType dtype, const Tensor& like) {
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

Tensor allocate_like(const Tensor& like) { return allocate(like.sizes(), like.scalar_type(), like); }

Tensor in_dtype(const Tensor& tensor, ScalarType dtype) {
  return tensor.scalar_type() == dtype ? tensor : torch::stable::to(tensor, dtype);
}

// Whether two tensors have the same sizes.
bool same_sizes(const Tensor& a, const Tensor& b) {
  const auto n = a.sizes(), m = b.sizes();
  return std::equal(n.begin(), n.end(), m.begin(), m.end());
}

bool same_device(const Tensor& a, const Tensor& b) {
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

// 1: the kernels run their AVX2 code; 0: the portable one.
int64_t cpu_avx2() { return use_avx2() ? 1 : 0; }

#ifdef JARVIS_NANO_CUDA
// The stream of torch that work on `tensor` belongs to.
void* stream_of(const Tensor& tensor) {
#ifdef USE_CUDA
  void* stream;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &stream));
  return stream;
#else
  STD_TORCH_CHECK(false, "this build was linked without torch's CUDA (device ", tensor.get_device_index(), ")");
#endif
}
#endif

// 1: CUDA kernels are compiled in.
int64_t has_cuda_kernels() {
#ifdef JARVIS_NANO_CUDA
  return 1;
#else
  return 0;
#endif
}

STABLE_TORCH_LIBRARY_FRAGMENT(jarvis_nano, m) {
  m.def("cpu_avx2() -> int");
  m.def("has_cuda_kernels() -> int");
}

STABLE_TORCH_LIBRARY_IMPL(jarvis_nano, CompositeExplicitAutograd, m) {
  m.impl("cpu_avx2", TORCH_BOX(&cpu_avx2));
  m.impl("has_cuda_kernels", TORCH_BOX(&has_cuda_kernels));
}

// ---- LayerNorm and RMSNorm: kernels/layernorm/op.py, layernorm.h ----

using Three = std::tuple<Tensor, Tensor, Tensor>;

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

// ---- Causal attention: kernels/attention/op.py, attention.h ----

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
  STD_TORCH_CHECK(false, "causal_attention: q has a dtype that this kernel does not take (float32, bfloat16); use "
                         "backend='reference'");
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
  if constexpr (!std::is_same_v<T, float16>) attention::forward_cpu(args);
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
  if constexpr (!std::is_same_v<T, float16>) attention::backward_cpu(args);
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

STABLE_TORCH_LIBRARY_IMPL(jarvis_nano, CPU, m) {
  m.impl("causal_attention", TORCH_BOX(&causal_attention));
  m.impl("causal_attention_backward", TORCH_BOX(&causal_attention_backward));
}

#ifdef JARVIS_NANO_CUDA
STABLE_TORCH_LIBRARY_IMPL(jarvis_nano, CUDA, m) {
  m.impl("causal_attention", TORCH_BOX(&causal_attention));
  m.impl("causal_attention_backward", TORCH_BOX(&causal_attention_backward));
}
#endif

// ---- Cross-entropy over logits: kernels/cross_entropy/chunks.py, cross_entropy.h ----

// logits (rows, V) become the loss's gradient (if wanted); loss, log_z, entropy and hit (rows) are written.
void cross_entropy_rows(Tensor logits, const Tensor& target, Tensor loss, Tensor log_z, Tensor entropy, Tensor hit,
                        double z_loss, bool gradient) {
  const int64_t rows = target.numel(), columns = logits.size(1);
  STD_TORCH_CHECK(logits.scalar_type() == ScalarType::Float && logits.is_contiguous() && logits.size(0) == rows &&
                      target.scalar_type() == ScalarType::Long && target.is_contiguous(),
                  "cross_entropy: ", rows, " targets for ", logits.size(0), " rows of ", columns,
                  " logits; expected dense float32 logits and int64 targets");
  for (const Tensor& figure : {loss, log_z, entropy, hit})
    STD_TORCH_CHECK(figure.scalar_type() == ScalarType::Float && figure.is_contiguous() && figure.numel() == rows,
                    "cross_entropy: a result of ", figure.numel(), " values for ", rows, " rows; expected dense float32");
  const int64_t* chosen = pointer<int64_t>(target);
  for (int64_t row = 0; row < rows; ++row)
    STD_TORCH_CHECK(chosen[row] >= 0 && chosen[row] < columns, "cross_entropy: target ", chosen[row], " of row ", row,
                    " is not one of the ", columns, " ids");
  cross_entropy::rows_cpu({rows, columns, pointer<float>(logits), chosen, static_cast<float>(z_loss), gradient,
                           pointer<float>(loss), pointer<float>(log_z), pointer<float>(entropy), pointer<float>(hit)});
}

STABLE_TORCH_LIBRARY_IMPL(jarvis_nano, CPU, m) { m.impl("cross_entropy_rows_", TORCH_BOX(&cross_entropy_rows)); }

}  // namespace
}  // namespace jarvis

// `import jarvis_nano._ops` loads the library; the registrations above happen as it loads.
PyMODINIT_FUNC PyInit__ops(void) {
  static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_ops", "Compiled kernels; see jarvis_nano.kernels.", -1,
                               nullptr, nullptr, nullptr, nullptr, nullptr};
  return PyModule_Create(&module);
}

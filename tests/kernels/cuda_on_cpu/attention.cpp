// attention_cuda.cu behind plain C functions, for ctypes.
#include "tensor_cores.cuh"

#include "attention_cuda.cu"

using namespace jarvis;

// The shape from B, H, Hkv, T, S, D.
static attention::Shape shape_of(const int64_t* n, float scale, const int32_t* first) {
  return {n[0], n[1], n[2], n[3], n[4], n[5], scale, first};
}

template <class T>
static attention::Heads<T> heads(void* const* data, const int64_t* strides, int i) {
  return {static_cast<T*>(data[i]), strides[3 * i], strides[3 * i + 1], strides[3 * i + 2]};
}

// data: q, k, v, out.
template <class T>
static void forward(const int64_t* n, float scale, int32_t* first, void** data, int64_t* strides, float* lse) {
  const auto at = [&](int i) { return heads<T>(data, strides, i); };
  attention::forward_cuda(attention::Forward<T>{shape_of(n, scale, first), at(0), at(1), at(2), at(3), lse}, nullptr);
}

// data: q, k, v, out, d_out, dq, dk, dv.
template <class T>
static void backward(const int64_t* n, float scale, int32_t* first, void** data, int64_t* strides, float* lse) {
  const auto at = [&](int i) { return heads<T>(data, strides, i); };
  const attention::Backward<T> args{shape_of(n, scale, first), at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), lse};
  std::vector<float> scratch(attention::scratch_size_cuda(args), NAN);
  attention::backward_cuda(args, scratch.data(), nullptr);
}

extern "C" {
#define BOTH(name, T)                                                                                               \
  void forward_##name(int64_t* n, float scale, int32_t* first, void** data, int64_t* strides, float* lse) {          \
    forward<T>(n, scale, first, data, strides, lse);                                                                \
  }                                                                                                                 \
  void backward_##name(int64_t* n, float scale, int32_t* first, void** data, int64_t* strides, float* lse) {         \
    backward<T>(n, scale, first, data, strides, lse);                                                               \
  }
BOTH(bfloat16, bfloat16)
BOTH(float16, float16)

// The tile and the head of each block.
void find_all(unsigned heads, unsigned tiles, unsigned group, int* tile, int* head) {
  for (unsigned b = 0; b < heads * tiles; ++b) {
    blockIdx = dim3(b);
    attention::find({heads, tiles, group}, tile[b], head[b]);
  }
}

void first_visible(int64_t* n, int64_t window, int32_t* document, int32_t* first) {
  attention::first_visible_cuda(shape_of(n, 1.0f, nullptr), window, document, first, nullptr);
}
}

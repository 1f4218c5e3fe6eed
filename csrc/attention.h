// Causal attention on pointers: what attention_bindings.cpp hands over. No torch here.
// The maths, the tiles and the traffic: docs/attention.md.
#pragma once

#include <cstdint>

namespace jarvis::attention {

// A tensor (B, heads, positions, D): strides in elements, the D values of one position side by side.
template <class Number>
struct Heads {
  Number* data;
  int64_t batch, head, position;

  Number* at(int64_t b, int64_t h) const { return data + b * batch + h * head; }
};

// q is (B, H, T, D), k and v (B, Hkv, S, D); query t stands at position S - T + t.
struct Shape {
  int64_t B, H, Hkv, T, S, D;
  float scale;
  const int32_t* first;  // (B, T): the first key that a query sees, never falling along T; null: all of the past
};

template <class Number>
struct Forward : Shape {
  Heads<Number> q, k, v, out;
  float* lse;  // (B, H, T), natural logarithm
};

template <class Number>
struct Backward : Shape {
  Heads<Number> q, k, v, out, d_out, dq, dk, dv;
  const float* lse;
};

// Number is float, bfloat16 or float16; all arithmetic is float32.
template <class Number>
void forward_cpu(const Forward<Number>& args);
template <class Number>
void backward_cpu(const Backward<Number>& args);

// first[b, t] from a sliding window (0: none) and document ids (B, S) (null: none). A document is a run of equal ids.
void first_visible(const Shape& shape, int64_t window, const int32_t* document, int32_t* first);

// On the given CUDA stream; Number is bfloat16 or float16, D is 64 or 128, the data and the strides of every tensor are
// multiples of 16 bytes. Defined in attention_cuda.cu.
constexpr int64_t kCudaWidths[] = {64, 128};
constexpr int64_t kCudaAlignment = 16;

template <class Number>
void forward_cuda(const Forward<Number>& args, void* stream);
// scratch: scratch_size_cuda floats.
template <class Number>
void backward_cuda(const Backward<Number>& args, float* scratch, void* stream);
int64_t scratch_size_cuda(const Shape& shape);
// As first_visible, on the GPU.
void first_visible_cuda(const Shape& shape, int64_t window, const int32_t* document, int32_t* first, void* stream);

}  // namespace jarvis::attention

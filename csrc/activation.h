// The MLP's activations with the bias of the linear layer before, on pointers: gelu and relu_squared take rows of C values
// to rows of C; swiglu takes gate and value side by side, rows of 2 C to rows of C. Rows are dense, sums are float32.
// The maths and the traffic: docs/activation.md.
#pragma once

#include <cstdint>

namespace jarvis::activation {

enum class Kind { gelu, relu_squared, swiglu };

template <class T>
struct Forward {
  int64_t rows, columns;  // of y
  const T* x;
  const float* bias;      // as wide as a row of x; null: none
  T* y;
};

template <class T>
struct Backward {
  int64_t rows, columns;  // of dy
  const T* dy;
  const T* x;
  const float* bias;      // null: none
  T* dx;                  // may be x
  T* y;                   // the result once more, may be dy; null: not wanted
  float* dbias;           // as wide as a row of x; null without a bias
  float* scratch;         // scratch_size floats; unused without a bias
};

// Partial sums of dbias that the backward pass needs room for, for rows of x that are `width` wide. The split of the rows
// depends on the sizes alone, not on the threads, so that a gradient is the same bit for bit on any number of them.
int64_t scratch_size(int64_t rows, int64_t width);

// T is float, bfloat16 or float16.
template <class T>
void forward_cpu(Kind kind, const Forward<T>& args);
template <class T>
void backward_cpu(Kind kind, const Backward<T>& args);

}  // namespace jarvis::activation

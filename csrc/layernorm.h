// LayerNorm and RMSNorm over the last dimension, on pointers: y = (t - mean) * rstd * weight + bias with
// t = x + residual, and for RMSNorm the same with mean = 0 and no bias. Statistics and parameters are float32. What is
// written is dense; what is read is dense on CUDA, and on the CPU can lie in groups of rows (Layout).
// The maths and the traffic: docs/layernorm.md.
#pragma once

#include <cstdint>

namespace jarvis::layernorm {

// Where the rows of an operand start, in values: `group` rows at a distance of row_stride, the groups group_stride
// apart, as the heads of a position do in a packed projection. group 0: dense.
struct Layout {
  int64_t group = 0, group_stride = 0, row_stride = 0;

  int64_t start(int64_t row, int64_t columns) const {
    return group == 0 ? row * columns : row / group * group_stride + row % group * row_stride;
  }
};

template <class T>
struct Forward {
  int64_t rows, columns;
  const T* x;
  const T* residual;   // null: none
  const float* weight;
  const float* bias;   // null: none
  T* y;
  T* total;            // x + residual; unused without a residual
  float* mean;         // (rows); null: RMSNorm
  float* rstd;         // (rows)
  float eps;
};

// Apart, because a GPU's kernels would carry it in their registers.
template <class T>
struct CpuForward : Forward<T> {
  Layout x_layout = {}, residual_layout = {};
  bool y_past_cache = false, total_past_cache = false;  // set by forward_cpu
};

template <class T>
struct Backward {
  int64_t rows, columns;
  const T* dy;
  const T* dtotal;     // the gradient of `total` from elsewhere; null: none
  const T* total;      // x where there was no residual
  const float* weight;
  const float* mean;   // null: RMSNorm
  const float* rstd;
  T* dx;               // also the residual's gradient
  float* dweight;      // (columns)
  float* dbias;        // (columns); null: not wanted
  float* scratch;      // scratch_size floats
};

template <class T>
struct CpuBackward : Backward<T> {
  Layout dy_layout = {}, dtotal_layout = {}, total_layout = {};
  bool dx_past_cache = false;  // set by backward_cpu
};

// Partial sums of dweight and dbias that the backward pass needs room for. The split of the rows depends on the sizes
// alone, not on the threads, so that a gradient is the same bit for bit on any machine.
int64_t scratch_size(int64_t rows, int64_t columns);
int64_t scratch_size_cuda(int64_t rows, int64_t columns);

template <class T>
void forward_cpu(const CpuForward<T>& args);
template <class T>
void backward_cpu(const CpuBackward<T>& args);

// On the given CUDA stream; T is float, bfloat16 or float16. Defined in layernorm_cuda.cu.
template <class T>
void forward_cuda(const Forward<T>& args, void* stream);
template <class T>
void backward_cuda(const Backward<T>& args, void* stream);

}  // namespace jarvis::layernorm

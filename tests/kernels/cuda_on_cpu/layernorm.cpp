// layernorm_cuda.cu behind plain C functions, for ctypes.
#include "layernorm_cuda.cu"

using namespace jarvis;

template <class T>
static void forward(int64_t rows, int64_t columns, void* x, void* residual, float* weight, float* bias, void* y,
                    void* total, float* mean, float* rstd, float eps) {
  layernorm::forward_cuda(
      layernorm::Forward<T>{rows, columns, static_cast<T*>(x), static_cast<T*>(residual), weight, bias,
                            static_cast<T*>(y), static_cast<T*>(total), mean, rstd, eps},
      nullptr);
}

template <class T>
static void backward(int64_t rows, int64_t columns, void* dy, void* dtotal, void* total, float* weight, float* mean,
                     float* rstd, void* dx, float* dweight, float* dbias) {
  std::vector<float> scratch(layernorm::scratch_size_cuda(rows, columns), NAN);
  layernorm::backward_cuda(
      layernorm::Backward<T>{rows, columns, static_cast<T*>(dy), static_cast<T*>(dtotal), static_cast<T*>(total),
                             weight, mean, rstd, static_cast<T*>(dx), dweight, dbias, scratch.data()},
      nullptr);
}

extern "C" {
#define BOTH(name, T)                                                                                            \
  void forward_##name(int64_t r, int64_t c, void* x, void* s, float* w, float* b, void* y, void* t, float* m,     \
                      float* d, float eps) {                                                                     \
    forward<T>(r, c, x, s, w, b, y, t, m, d, eps);                                                               \
  }                                                                                                              \
  void backward_##name(int64_t r, int64_t c, void* dy, void* dt, void* t, float* w, float* m, float* d, void* dx, \
                       float* dw, float* db) {                                                                   \
    backward<T>(r, c, dy, dt, t, w, m, d, dx, dw, db);                                                           \
  }
BOTH(float32, float)
BOTH(bfloat16, bfloat16)
BOTH(float16, float16)
}

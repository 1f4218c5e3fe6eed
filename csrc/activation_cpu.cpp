// The activations on the CPU: the rows for any processor, the choice of instruction set, the split over threads.
#include "activation.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "cpu.h"

namespace jarvis::activation {
namespace portable {
namespace {
#include "lanes.inc"
#include "halves.inc"
}
#include "activation.inc"
}  // namespace portable

#ifdef JARVIS_AVX2_BEGIN
namespace avx2 {
template <class T>
void forward_rows(Kind kind, const Forward<T>& a, int64_t first, int64_t last);
template <class T>
void backward_rows(Kind kind, const Backward<T>& a, int64_t first, int64_t last, float* sums);
}  // namespace avx2
namespace avx512 {
template <class T>
void forward_rows(Kind kind, const Forward<T>& a, int64_t first, int64_t last);
template <class T>
void backward_rows(Kind kind, const Backward<T>& a, int64_t first, int64_t last, float* sums);
}  // namespace avx512
#else
namespace avx2 = portable;
namespace avx512 = portable;
#endif

namespace {

constexpr int64_t kValuesPerTask = 16384;  // below this a second thread costs more than it brings
constexpr int64_t kRowsPerSum = 512;       // a longer chain of additions loses digits

int64_t n_parts(int64_t rows, int64_t width) {
  const int64_t most = std::max<int64_t>(32, rows / kRowsPerSum);
  return std::clamp<int64_t>(rows * width / kValuesPerTask, 1, std::clamp<int64_t>(rows, 1, most));
}

}  // namespace

int64_t scratch_size(int64_t rows, int64_t width) { return n_parts(rows, width) * width; }

template <class T>
void forward_cpu(Kind kind, const Forward<T>& a) {
  using Rows = void(Kind, const Forward<T>&, int64_t, int64_t);
  const auto rows = choose<Rows>(portable::forward_rows<T>, avx2::forward_rows<T>, avx512::forward_rows<T>);
  const int64_t grain = std::max<int64_t>(1, kValuesPerTask / std::max<int64_t>(1, a.columns));
  parallel_for(0, a.rows, grain, [&](int64_t first, int64_t last) { rows(kind, a, first, last); });
}

template <class T>
void backward_cpu(Kind kind, const Backward<T>& a) {
  using Rows = void(Kind, const Backward<T>&, int64_t, int64_t, float*);
  const auto rows = choose<Rows>(portable::backward_rows<T>, avx2::backward_rows<T>, avx512::backward_rows<T>);
  const int64_t width = a.columns * (kind == Kind::swiglu ? 2 : 1), parts = n_parts(a.rows, width);
  parallel_for(0, parts, 1, [&](int64_t first, int64_t last) {
    for (int64_t p = first; p < last; ++p) {
      float* sums = a.dbias ? a.scratch + p * width : nullptr;
      if (sums) std::fill_n(sums, width, 0.0f);
      rows(kind, a, a.rows * p / parts, a.rows * (p + 1) / parts, sums);
    }
  });
  if (!a.dbias) return;
  std::fill_n(a.dbias, width, 0.0f);
  for (int64_t p = 0; p < parts; ++p) {
    const float* sums = a.scratch + p * width;
    for (int64_t c = 0; c < width; ++c) a.dbias[c] += sums[c];
  }
}

template void forward_cpu(Kind, const Forward<float>&);
template void forward_cpu(Kind, const Forward<bfloat16>&);
template void forward_cpu(Kind, const Forward<float16>&);
template void backward_cpu(Kind, const Backward<float>&);
template void backward_cpu(Kind, const Backward<bfloat16>&);
template void backward_cpu(Kind, const Backward<float16>&);

}  // namespace jarvis::activation

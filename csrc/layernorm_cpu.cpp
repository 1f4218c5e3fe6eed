// LayerNorm on the CPU: the rows for any processor, the choice of instruction set, the split over threads.
#include "layernorm.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

#include "cpu.h"

namespace jarvis::layernorm {
namespace portable {
namespace {
#include "lanes.inc"
#include "halves.inc"
}
#include "layernorm_rows.inc"
}  // namespace portable

#ifdef JARVIS_AVX2_BEGIN
namespace avx2 {
template <class T>
void forward_rows(const CpuForward<T>& a, int64_t first, int64_t last, float* line);
template <class T>
void backward_rows(const CpuBackward<T>& a, int64_t first, int64_t last, float* dweight, float* dbias);
}  // namespace avx2
namespace avx512 {
template <class T>
void forward_rows(const CpuForward<T>& a, int64_t first, int64_t last, float* line);
template <class T>
void backward_rows(const CpuBackward<T>& a, int64_t first, int64_t last, float* dweight, float* dbias);
}  // namespace avx512
#else
namespace avx2 = portable;
namespace avx512 = portable;
#endif

namespace {

constexpr int64_t kValuesPerTask = 16384;  // below this a second thread costs more than it brings

// From this size on results are written past the caches. The sum waits for the branch that it goes around; the norm and
// a gradient are read at once by a matrix product, and stay in the last-level cache while they fit.
constexpr int64_t kSumPastCache = 2 << 20, kResultPastCache = 16 << 20;

// Whether the page has memory. One fresh from the system gets it at the first write: zeros, which lie in the cache then.
bool has_memory([[maybe_unused]] const void* at) {
#ifdef __linux__
  const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  unsigned char resident = 0;
  return mincore(reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(at) / page * page), 1, &resident) == 0 &&
         (resident & 1);
#else
  return true;
#endif
}

// Whether `to` can be written past the caches (whole registers at their own alignment), and is worth it: on fresh memory
// it cost 20 % more instead. The middle page answers for all.
template <class T>
bool past_cache(const T* to, int64_t rows, int64_t columns, int64_t bytes) {
  const bool aligned = reinterpret_cast<uintptr_t>(to) % 64 == 0 && columns % 16 == 0;
  const int64_t values = rows * columns;
  return aligned && values * static_cast<int64_t>(sizeof(T)) >= bytes && has_memory(to + values / 2);
}

struct alignas(64) CacheLine {
  float values[16];
};

int64_t n_parts(int64_t rows, int64_t columns) {
  return std::clamp<int64_t>(rows * columns / kValuesPerTask, 1, std::clamp<int64_t>(rows, 1, 32));
}

}  // namespace

int64_t scratch_size(int64_t rows, int64_t columns) { return n_parts(rows, columns) * 2 * columns; }

template <class T>
void forward_cpu(const CpuForward<T>& given) {
  CpuForward<T> a = given;
  a.y_past_cache = past_cache(a.y, a.rows, a.columns, kResultPastCache);
  a.total_past_cache = a.residual && past_cache(a.total, a.rows, a.columns, kSumPastCache);
  const auto rows = choose(portable::forward_rows<T>, avx2::forward_rows<T>, avx512::forward_rows<T>);
  const int64_t grain = std::max<int64_t>(1, kValuesPerTask / std::max<int64_t>(1, a.columns));
  parallel_for(0, a.rows, grain, [&](int64_t first, int64_t last) {
    std::vector<CacheLine> line((a.columns + 15) / 16);
    rows(a, first, last, line.data()->values);
  });
}

template <class T>
void backward_cpu(const CpuBackward<T>& given) {
  CpuBackward<T> a = given;
  a.dx_past_cache = past_cache(a.dx, a.rows, a.columns, kResultPastCache);
  const auto rows = choose(portable::backward_rows<T>, avx2::backward_rows<T>, avx512::backward_rows<T>);
  const int64_t parts = n_parts(a.rows, a.columns), C = a.columns;
  const auto part = [&](int64_t p) {
    float* dweight = a.scratch + p * 2 * C;
    std::fill_n(dweight, 2 * C, 0.0f);
    rows(a, a.rows * p / parts, a.rows * (p + 1) / parts, dweight, a.dbias ? dweight + C : nullptr);
  };
  parallel_for(0, parts, 1, [&](int64_t first, int64_t last) {
    for (int64_t p = first; p < last; ++p) part(p);
  });
  std::fill_n(a.dweight, C, 0.0f);
  if (a.dbias) std::fill_n(a.dbias, C, 0.0f);
  for (int64_t p = 0; p < parts; ++p) {
    const float* sums = a.scratch + p * 2 * C;
    for (int64_t c = 0; c < C; ++c) a.dweight[c] += sums[c];
    for (int64_t c = 0; a.dbias && c < C; ++c) a.dbias[c] += sums[C + c];
  }
}

template void forward_cpu(const CpuForward<float>&);
template void forward_cpu(const CpuForward<bfloat16>&);
template void forward_cpu(const CpuForward<float16>&);
template void backward_cpu(const CpuBackward<float>&);
template void backward_cpu(const CpuBackward<bfloat16>&);
template void backward_cpu(const CpuBackward<float16>&);

}  // namespace jarvis::layernorm

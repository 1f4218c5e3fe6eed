// Cross-entropy on the CPU: the rows for any processor, the choice of instruction set, the split over threads.
#include "cross_entropy.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "cpu.h"

namespace jarvis::cross_entropy {
namespace portable {
namespace {
#include "lanes.inc"
}
#include "cross_entropy.inc"
}  // namespace portable

#ifdef JARVIS_AVX2_BEGIN
namespace avx2 {
void some_rows(const Rows& a, int64_t first, int64_t last);
}  // namespace avx2
namespace avx512 {
void some_rows(const Rows& a, int64_t first, int64_t last);
}  // namespace avx512
#else
namespace avx2 = portable;
namespace avx512 = portable;
#endif

void rows_cpu(const Rows& a) {
  const auto rows = choose(portable::some_rows, avx2::some_rows, avx512::some_rows);
  constexpr int64_t kValuesPerTask = 16384;  // below this a second thread costs more than it brings
  const int64_t grain = std::max<int64_t>(1, kValuesPerTask / std::max<int64_t>(1, a.columns));
  parallel_for(0, a.rows, grain, [&](int64_t first, int64_t last) { rows(a, first, last); });
}

}  // namespace jarvis::cross_entropy

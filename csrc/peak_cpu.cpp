// Multiply-adds for the three instruction sets, on every thread.
#include "peak.h"

#include <atomic>
#include <cmath>
#include <cstring>

#include "cpu.h"

#ifdef JARVIS_AVX2_BEGIN
#include <immintrin.h>
#endif

namespace jarvis::peak {
namespace portable {
namespace {
#include "lanes.inc"
#include "peak.inc"
}  // namespace
}  // namespace portable

#ifdef JARVIS_AVX2_BEGIN
#define JARVIS_AVX2 1
JARVIS_AVX2_BEGIN
namespace avx2 {
namespace {
#include "lanes.inc"
#include "peak.inc"
}  // namespace
}  // namespace avx2
JARVIS_AVX2_END
#define JARVIS_AVX512 1
JARVIS_AVX512_BEGIN
namespace avx512 {
namespace {
#include "lanes.inc"
#include "peak.inc"
}  // namespace
}  // namespace avx512
JARVIS_AVX512_END
#else
namespace avx2 = portable;
namespace avx512 = portable;
#endif

int64_t multiply_add_cpu(int64_t rounds) {
  const auto run = choose(portable::multiply_add, avx2::multiply_add, avx512::multiply_add);
  const int64_t flops = use_avx512() ? avx512::kFlops : use_avx2() ? avx2::kFlops : portable::kFlops;
  const int64_t threads = thread_count();
  std::atomic<float> kept{0.0f};  // a result that nobody reads would not be computed
  parallel_for(0, threads, 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) kept.store(run(rounds), std::memory_order_relaxed);
  });
  return threads * rounds * flops;
}

}  // namespace jarvis::peak

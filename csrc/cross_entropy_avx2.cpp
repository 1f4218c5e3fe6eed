// Cross-entropy's rows, compiled for AVX2.
#include <cmath>
#include <cstdint>
#include <cstring>

#include "cpu.h"
#include "cross_entropy.h"

#ifdef JARVIS_AVX2_BEGIN
#include <immintrin.h>

#define JARVIS_AVX2 1
JARVIS_AVX2_BEGIN
namespace jarvis::cross_entropy::avx2 {
namespace {
#include "lanes.inc"
}
#include "cross_entropy.inc"
}  // namespace jarvis::cross_entropy::avx2
JARVIS_AVX2_END
#endif

// Cross-entropy's rows, compiled for AVX-512.
#include <cmath>
#include <cstdint>
#include <cstring>

#include "cpu.h"
#include "cross_entropy.h"

#ifdef JARVIS_AVX512_BEGIN
#include <immintrin.h>

#define JARVIS_AVX512 1
JARVIS_AVX512_BEGIN
namespace jarvis::cross_entropy::avx512 {
namespace {
#include "lanes.inc"
}
#include "cross_entropy.inc"
}  // namespace jarvis::cross_entropy::avx512
JARVIS_AVX512_END
#endif

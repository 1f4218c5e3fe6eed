// The turn of rotary positions, compiled for AVX2.
#include <cstdint>
#include <cstring>

#include "cpu.h"
#include "rotary.h"

#ifdef JARVIS_AVX2_BEGIN
#include <immintrin.h>

#define JARVIS_AVX2 1
JARVIS_AVX2_BEGIN
namespace jarvis::rotary::avx2 {
namespace {
#include "lanes.inc"
#include "halves.inc"
}
#include "rotary.inc"

template void turn_tokens(const Turn<float>&, int64_t, int64_t);
template void turn_tokens(const Turn<bfloat16>&, int64_t, int64_t);
template void turn_tokens(const Turn<float16>&, int64_t, int64_t);
}  // namespace jarvis::rotary::avx2
JARVIS_AVX2_END
#endif

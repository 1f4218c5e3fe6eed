// The turn of rotary positions, compiled for AVX-512.
#include <cstdint>
#include <cstring>

#include "cpu.h"
#include "rotary.h"

#ifdef JARVIS_AVX512_BEGIN
#include <immintrin.h>

#define JARVIS_AVX512 1
JARVIS_AVX512_BEGIN
namespace jarvis::rotary::avx512 {
namespace {
#include "lanes.inc"
#include "halves.inc"
}
#include "rotary.inc"

template void turn_tokens(const Turn<float>&, int64_t, int64_t);
template void turn_tokens(const Turn<bfloat16>&, int64_t, int64_t);
template void turn_tokens(const Turn<float16>&, int64_t, int64_t);
}  // namespace jarvis::rotary::avx512
JARVIS_AVX512_END
#endif

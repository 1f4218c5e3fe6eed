// AdamW's chunks, compiled for AVX-512.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "adamw.h"
#include "cpu.h"

#ifdef JARVIS_AVX512_BEGIN
#include <immintrin.h>

#define JARVIS_AVX512 1
JARVIS_AVX512_BEGIN
namespace jarvis::adamw::avx512 {
namespace {
#include "lanes.inc"
#include "halves.inc"
}
#include "adamw.inc"

template Sums update_chunk(int64_t, float*, float*, float*, const float*, const Factors&);
template Sums update_chunk(int64_t, float*, float*, float*, const bfloat16*, const Factors&);
template Sums update_chunk(int64_t, float*, float*, float*, const float16*, const Factors&);
template double squares_of_chunk(int64_t, const float*);
template double squares_of_chunk(int64_t, const bfloat16*);
template double squares_of_chunk(int64_t, const float16*);
}  // namespace jarvis::adamw::avx512
JARVIS_AVX512_END
#endif

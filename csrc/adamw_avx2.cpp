// AdamW's chunks, compiled for AVX2.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "adamw.h"
#include "cpu.h"

#ifdef JARVIS_AVX2_BEGIN
#include <immintrin.h>

#define JARVIS_AVX2 1
JARVIS_AVX2_BEGIN
namespace jarvis::adamw::avx2 {
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
}  // namespace jarvis::adamw::avx2
JARVIS_AVX2_END
#endif

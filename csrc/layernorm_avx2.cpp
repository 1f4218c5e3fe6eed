// LayerNorm's rows, compiled for AVX2.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "cpu.h"
#include "layernorm.h"

#ifdef JARVIS_AVX2_BEGIN
#include <immintrin.h>

#define JARVIS_AVX2 1
JARVIS_AVX2_BEGIN
namespace jarvis::layernorm::avx2 {
namespace {
#include "lanes.inc"
#include "halves.inc"
}
#include "layernorm_rows.inc"

template void forward_rows(const CpuForward<float>&, int64_t, int64_t, float*);
template void forward_rows(const CpuForward<bfloat16>&, int64_t, int64_t, float*);
template void forward_rows(const CpuForward<float16>&, int64_t, int64_t, float*);
template void backward_rows(const CpuBackward<float>&, int64_t, int64_t, float*, float*);
template void backward_rows(const CpuBackward<bfloat16>&, int64_t, int64_t, float*, float*);
template void backward_rows(const CpuBackward<float16>&, int64_t, int64_t, float*, float*);
}  // namespace jarvis::layernorm::avx2
JARVIS_AVX2_END
#endif

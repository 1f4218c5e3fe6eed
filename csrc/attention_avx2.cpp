// Attention of one head, compiled for AVX2.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "attention.h"
#include "cpu.h"

#ifdef JARVIS_AVX2_BEGIN
#include <immintrin.h>

#define JARVIS_AVX2 1
JARVIS_AVX2_BEGIN
namespace jarvis::attention::avx2 {
namespace {
#include "lanes.inc"
#include "halves.inc"
#include "panels.inc"
}  // namespace
#include "attention.inc"
#include "attention_forward.inc"
#include "attention_backward.inc"

template void forward_rows(const Forward<float>&, int64_t, int64_t, int64_t, int64_t);
template void forward_rows(const Forward<bfloat16>&, int64_t, int64_t, int64_t, int64_t);
template void forward_rows(const Forward<float16>&, int64_t, int64_t, int64_t, int64_t);
template void backward_head(const Backward<float>&, int64_t, int64_t);
template void backward_head(const Backward<bfloat16>&, int64_t, int64_t);
template void backward_head(const Backward<float16>&, int64_t, int64_t);
}  // namespace jarvis::attention::avx2
JARVIS_AVX2_END
#endif

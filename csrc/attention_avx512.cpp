// Attention of one head, compiled for AVX-512.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "attention.h"
#include "cpu.h"

#ifdef JARVIS_AVX512_BEGIN
#include <immintrin.h>

#define JARVIS_AVX512 1
JARVIS_AVX512_BEGIN
namespace jarvis::attention::avx512 {
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
}  // namespace jarvis::attention::avx512
JARVIS_AVX512_END
#endif

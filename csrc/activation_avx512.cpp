// The activations' rows, compiled for AVX-512.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "activation.h"
#include "cpu.h"

#ifdef JARVIS_AVX512_BEGIN
#include <immintrin.h>

#define JARVIS_AVX512 1
JARVIS_AVX512_BEGIN
namespace jarvis::activation::avx512 {
namespace {
#include "lanes.inc"
#include "halves.inc"
}
#include "activation.inc"

template void forward_rows(Kind, const Forward<float>&, int64_t, int64_t);
template void forward_rows(Kind, const Forward<bfloat16>&, int64_t, int64_t);
template void forward_rows(Kind, const Forward<float16>&, int64_t, int64_t);
template void backward_rows(Kind, const Backward<float>&, int64_t, int64_t, float*);
template void backward_rows(Kind, const Backward<bfloat16>&, int64_t, int64_t, float*);
template void backward_rows(Kind, const Backward<float16>&, int64_t, int64_t, float*);
}  // namespace jarvis::activation::avx512
JARVIS_AVX512_END
#endif

// The scanners by masks of one register of 64 bytes, where a comparison gives the mask itself.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"  // GCC 12 on its own header
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <cstdint>
#include <cstring>

#include "bpe_blocks.h"
#include "cpu_choice.h"

#ifdef JARVIS_AVX512_BEGIN
JARVIS_AVX512_BEGIN
namespace jarvis::bpe::avx512 {
namespace {

using Mask = std::uint64_t;
using Bytes = __m512i;

JARVIS_INLINE Bytes load(const Byte* text) { return _mm512_loadu_si512(text); }
JARVIS_INLINE __m512i all(int value) { return _mm512_set1_epi8(static_cast<char>(value)); }

JARVIS_INLINE Mask beyond_ascii(Bytes bytes) { return _mm512_movepi8_mask(bytes); }
JARVIS_INLINE Mask same(Bytes bytes, int value) { return _mm512_cmpeq_epi8_mask(bytes, all(value)); }
// Bytes in [first, first + count).
JARVIS_INLINE Mask within(Bytes bytes, int first, int count) {
  return _mm512_cmplt_epu8_mask(_mm512_sub_epi8(bytes, all(first)), all(count));
}
JARVIS_INLINE Mask ascii_letters(Bytes bytes) { return within(_mm512_or_si512(bytes, all(0x20)), 'a', 26); }
JARVIS_INLINE Mask continuations(Bytes bytes) { return _mm512_cmplt_epi8_mask(bytes, all(-64)); }
// d l m r s t v, by the halves of the byte: columns 6 and 7, and 4 and 5 for capitals.
template <bool kCapitals>
JARVIS_INLINE Mask letters_of_suffixes(Bytes bytes) {
  constexpr char k4 = kCapitals ? 1 : 0, k5 = kCapitals ? 2 : 0;
  const __m512i by_low = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 0, 2, 2, 3, 0, 2, 0, 0, 0, 0, 0, 1, 1, 0, 0));
  const __m512i by_high = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 0, 0, 0, k4, k5, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0));
  const __m512i half = _mm512_and_si512(_mm512_srli_epi16(bytes, 4), all(15));
  return _mm512_test_epi8_mask(_mm512_shuffle_epi8(by_low, bytes), _mm512_shuffle_epi8(by_high, half));
}

// Offsets of the bits, from `base` on. Whole registers are written, so `out` needs room for 16 past the last.
inline std::uint32_t* flatten(Mask bits, std::uint32_t base, std::uint32_t* out) {
  alignas(64) static constexpr Byte kNumbers[64] = {
      0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28,
      29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57,
      58, 59, 60, 61, 62, 63};
  const int count = __builtin_popcountll(bits);
  const __m512i places = _mm512_maskz_compress_epi8(bits, _mm512_load_si512(kNumbers));
  const __m512i from = _mm512_set1_epi32(static_cast<int>(base));
  const auto write = [&](__m128i sixteen, int at) {
    _mm512_storeu_si512(out + at, _mm512_add_epi32(_mm512_cvtepu8_epi32(sixteen), from));
  };
  write(_mm512_castsi512_si128(places), 0);
  if (count > 16) {
    write(_mm512_extracti32x4_epi32(places, 1), 16);
    if (count > 32) {
      write(_mm512_extracti32x4_epi32(places, 2), 32);
      write(_mm512_extracti32x4_epi32(places, 3), 48);
    }
  }
  return out + count;
}

#include "bpe_scan_blocks.inc"

}  // namespace jarvis::bpe::avx512
JARVIS_AVX512_END
#endif

// Python's string storage to UTF-8 by registers of 64 bytes: each unit is spread over all the bytes that it could take,
// and those that it does take are pushed together.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"  // GCC 12 on its own header
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <cstdint>

#include "bpe_utf8.h"
#include "cpu_choice.h"

#ifdef JARVIS_AVX512_BEGIN
JARVIS_AVX512_BEGIN
namespace jarvis::bpe::avx512 {
namespace {

JARVIS_INLINE __m512i shorts(int value) { return _mm512_set1_epi16(static_cast<short>(value)); }

JARVIS_INLINE Byte* write_kept(__m512i bytes, std::uint64_t kept, Byte* out) {
  _mm512_storeu_si512(out, _mm512_maskz_compress_epi8(kept, bytes));
  return out + __builtin_popcountll(kept);
}

// The first `count` of 32 units below 0x800.
JARVIS_INLINE Byte* write_two(__m512i units, std::size_t count, Byte* out) {
  const __mmask32 longer = _mm512_cmpge_epu16_mask(units, shorts(0x80));
  const __m512i lead = _mm512_or_si512(_mm512_srli_epi16(units, 6), shorts(0xC0));
  const __m512i inside = _mm512_or_si512(_mm512_and_si512(units, shorts(0x3F)), shorts(0x80));
  const __m512i bytes = _mm512_or_si512(lead, _mm512_slli_epi16(inside, 8));
  const std::uint64_t kept = 0x5555555555555555u | _pdep_u64(longer, 0xAAAAAAAAAAAAAAAAu);
  return write_kept(_mm512_mask_blend_epi16(longer, units, bytes), _bzhi_u64(kept, 2 * count), out);
}

// The first `count` of 16 units below 0x110000 that are no surrogates.
JARVIS_INLINE Byte* write_four(__m512i units, std::size_t count, Byte* out) {
  const auto ints = [](int value) { return _mm512_set1_epi32(value); };
  const __mmask16 two = _mm512_cmpge_epu32_mask(units, ints(0x80));
  const __mmask16 three = _mm512_cmpge_epu32_mask(units, ints(0x800));
  const __mmask16 four = _mm512_cmpge_epu32_mask(units, ints(0x10000));
  const auto part = [&](int shift) {
    return _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32(units, shift), ints(0x3F)), ints(0x80));
  };
  const __m512i d = part(0), c = part(6), b = part(12);
  const auto join = [](__m512i first, __m512i second) {
    return _mm512_or_si512(first, _mm512_slli_epi32(second, 8));
  };
  __m512i bytes = units;
  bytes = _mm512_mask_mov_epi32(bytes, two, join(_mm512_or_si512(_mm512_srli_epi32(units, 6), ints(0xC0)), d));
  bytes = _mm512_mask_mov_epi32(
      bytes, three, join(_mm512_or_si512(_mm512_srli_epi32(units, 12), ints(0xE0)), join(c, d)));
  bytes = _mm512_mask_mov_epi32(
      bytes, four, join(_mm512_or_si512(_mm512_srli_epi32(units, 18), ints(0xF0)), join(b, join(c, d))));
  const std::uint64_t kept = 0x1111111111111111u | _pdep_u64(two, 0x2222222222222222u) |
                             _pdep_u64(three, 0x4444444444444444u) | _pdep_u64(four, 0x8888888888888888u);
  return write_kept(bytes, _bzhi_u64(kept, 4 * count), out);
}

// The first `count` of 32 units of 16 bits, the others 0; null if one is a surrogate.
JARVIS_INLINE Byte* write_units(__m512i units, std::size_t count, Byte* out) {
  if (!_mm512_test_epi16_mask(units, shorts(0xF800))) return write_two(units, count, out);
  if (_mm512_cmpeq_epi16_mask(_mm512_and_si512(units, shorts(0xF800)), shorts(0xD800))) return nullptr;
  const std::size_t half = count < 16 ? count : 16;
  out = write_four(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(units)), half, out);
  return write_four(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(units, 1)), count - half, out);
}

}  // namespace

Written to_utf8(const std::uint8_t* text, std::size_t length, Byte* out) {
  std::size_t at = 0;
  for (; at + 64 <= length; at += 64) {
    const __m512i units = _mm512_loadu_si512(text + at);
    if (!_mm512_movepi8_mask(units)) {
      _mm512_storeu_si512(out, units);
      out += 64;
      continue;
    }
    out = write_two(_mm512_cvtepu8_epi16(_mm512_castsi512_si256(units)), 32, out);
    out = write_two(_mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(units, 1)), 32, out);
  }
  for (; at < length; at += 32) {
    const std::size_t count = length - at < 32 ? length - at : 32;
    const __m256i units = _mm256_maskz_loadu_epi8(_bzhi_u32(~0u, static_cast<unsigned>(count)), text + at);
    out = write_two(_mm512_cvtepu8_epi16(units), count, out);
  }
  return {length, out};
}

Written to_utf8(const std::uint16_t* text, std::size_t length, Byte* out) {
  std::size_t at = 0;
  for (; at + 32 <= length; at += 32) {
    Byte* const end = write_units(_mm512_loadu_si512(text + at), 32, out);
    if (!end) return {at, out};
    out = end;
  }
  if (at == length) return {length, out};
  const std::size_t count = length - at;
  Byte* const end =
      write_units(_mm512_maskz_loadu_epi16(_bzhi_u32(~0u, static_cast<unsigned>(count)), text + at), count, out);
  return end ? Written{length, end} : Written{at, out};
}

Written to_utf8(const std::uint32_t* text, std::size_t length, Byte* out) {
  for (std::size_t at = 0; at < length; at += 16) {
    const std::size_t count = length - at < 16 ? length - at : 16;
    const auto here = static_cast<__mmask16>(_bzhi_u32(0xFFFF, static_cast<unsigned>(count)));
    const __m512i units = _mm512_maskz_loadu_epi32(here, text + at);
    const __m512i high = _mm512_and_si512(units, _mm512_set1_epi32(static_cast<int>(0xFFFFF800)));
    if (_mm512_cmpeq_epi32_mask(high, _mm512_set1_epi32(0xD800))) return {at, out};
    out = write_four(units, count, out);
  }
  return {length, out};
}

}  // namespace jarvis::bpe::avx512
JARVIS_AVX512_END
#endif

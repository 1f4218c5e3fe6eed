// UTF-8 by vectors. The check is that of Keiser and Lemire, "Validating UTF-8 in less than one instruction per byte"
// (2020): three table look-ups on two neighbouring bytes find every fault but a missing third or fourth byte.
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <cstdint>

#include "bpe_utf8.h"
#include "cpu_choice.h"

#ifdef JARVIS_AVX2_BEGIN

namespace jarvis::bpe {
namespace {

// Faults of a byte pair, a bit each.
enum Fault : int {
  kTooShort = 1,     // a lead, and no continuation after it
  kTooLong = 2,      // ASCII, and a continuation after it
  kOverlong3 = 4,    // E0 80..9F
  kTooLarge = 8,     // F4 90.. F5..
  kSurrogate = 16,   // ED A0..BF
  kOverlong2 = 32,   // C0 C1
  kTooLarge8 = 64,   // F5.. 80..8F
  kOverlong4 = 64,   // F0 80..8F
  kTwoInside = 128,  // two continuations: right after a lead of three or four bytes
  kAny = kTooShort | kTooLong | kTwoInside,
};

// How a group of units becomes bytes: the places of the bytes to keep, in their order, and how many.
struct Places {
  alignas(16) std::int8_t of_two[256][16];   // eight units of 2 bytes; bit i: unit i is ASCII
  alignas(16) std::int8_t of_four[256][16];  // four units of 4 bytes; bits i and i + 4: at least 2, 3 bytes
  std::uint8_t count_four[256];
  constexpr Places() : of_two(), of_four(), count_four() {
    for (int mask = 0; mask < 256; ++mask) {
      int at = 0;
      for (int unit = 0; unit < 8; ++unit) {
        of_two[mask][at++] = static_cast<std::int8_t>(2 * unit);
        if (!(mask >> unit & 1)) of_two[mask][at++] = static_cast<std::int8_t>(2 * unit + 1);
      }
      while (at < 16) of_two[mask][at++] = -1;
      at = 0;
      for (int unit = 0; unit < 4; ++unit) {
        const int width = 1 + (mask >> unit & 1) + (mask >> (unit + 4) & 1);
        for (int byte = 0; byte < width; ++byte) of_four[mask][at++] = static_cast<std::int8_t>(4 * unit + byte);
      }
      count_four[mask] = static_cast<std::uint8_t>(at);
      while (at < 16) of_four[mask][at++] = -1;
    }
  }
};
constexpr Places kPlaces;

}  // namespace
}  // namespace jarvis::bpe

JARVIS_AVX2_BEGIN
namespace jarvis::bpe::avx2 {
namespace {

inline __m256i twice(__m128i table) { return _mm256_broadcastsi128_si256(table); }

// The bytes `count` places back, across the border to the block before.
template <int kCount>
inline __m256i back(__m256i block, __m256i previous) {
  return _mm256_alignr_epi8(block, _mm256_permute2x128_si256(previous, block, 0x21), 16 - kCount);
}

inline __m256i faults(__m256i block, __m256i previous) {
  constexpr int kLarge = kAny | kTooLarge | kTooLarge8, kInside = kTooLong | kOverlong2 | kTwoInside;
  const __m256i by_first_high = twice(_mm_setr_epi8(
      kTooLong, kTooLong, kTooLong, kTooLong, kTooLong, kTooLong, kTooLong, kTooLong, static_cast<char>(kTwoInside),
      static_cast<char>(kTwoInside), static_cast<char>(kTwoInside), static_cast<char>(kTwoInside),
      kTooShort | kOverlong2, kTooShort, kTooShort | kOverlong3 | kSurrogate,
      kTooShort | kTooLarge | kTooLarge8 | kOverlong4));
  const __m256i by_first_low = twice(_mm_setr_epi8(
      static_cast<char>(kAny | kOverlong3 | kOverlong2 | kOverlong4), static_cast<char>(kAny | kOverlong2),
      static_cast<char>(kAny), static_cast<char>(kAny), static_cast<char>(kAny | kTooLarge), static_cast<char>(kLarge),
      static_cast<char>(kLarge), static_cast<char>(kLarge), static_cast<char>(kLarge), static_cast<char>(kLarge),
      static_cast<char>(kLarge), static_cast<char>(kLarge), static_cast<char>(kLarge),
      static_cast<char>(kLarge | kSurrogate), static_cast<char>(kLarge), static_cast<char>(kLarge)));
  const __m256i by_second_high = twice(_mm_setr_epi8(
      kTooShort, kTooShort, kTooShort, kTooShort, kTooShort, kTooShort, kTooShort, kTooShort,
      static_cast<char>(kInside | kOverlong3 | kTooLarge8 | kOverlong4),
      static_cast<char>(kInside | kOverlong3 | kTooLarge), static_cast<char>(kInside | kSurrogate | kTooLarge),
      static_cast<char>(kInside | kSurrogate | kTooLarge), kTooShort, kTooShort, kTooShort, kTooShort));
  const __m256i half = _mm256_set1_epi8(15);
  const __m256i first = back<1>(block, previous);
  const __m256i pairs = _mm256_and_si256(
      _mm256_and_si256(_mm256_shuffle_epi8(by_first_high, _mm256_and_si256(_mm256_srli_epi16(first, 4), half)),
                       _mm256_shuffle_epi8(by_first_low, _mm256_and_si256(first, half))),
      _mm256_shuffle_epi8(by_second_high, _mm256_and_si256(_mm256_srli_epi16(block, 4), half)));
  // The third and fourth bytes must be second continuations: there, and only there, kTwoInside is right.
  const __m256i third = _mm256_subs_epu8(back<2>(block, previous), _mm256_set1_epi8(static_cast<char>(0xE0 - 0x80)));
  const __m256i fourth = _mm256_subs_epu8(back<3>(block, previous), _mm256_set1_epi8(static_cast<char>(0xF0 - 0x80)));
  const __m256i must = _mm256_and_si256(_mm256_or_si256(third, fourth), _mm256_set1_epi8(static_cast<char>(0x80)));
  return _mm256_xor_si256(must, pairs);
}

// Eight units below 0x800, one or two bytes each.
inline Byte* write_two(__m128i units, Byte* out) {
  const __m128i ascii = _mm_cmpgt_epi16(_mm_set1_epi16(0x80), units);
  const __m128i lead = _mm_or_si128(_mm_srli_epi16(units, 6), _mm_set1_epi16(0xC0));
  const __m128i inside = _mm_or_si128(_mm_and_si128(units, _mm_set1_epi16(0x3F)), _mm_set1_epi16(0x80));
  const __m128i two = _mm_or_si128(lead, _mm_slli_epi16(inside, 8));
  const __m128i bytes = _mm_blendv_epi8(two, units, ascii);
  const int mask = _mm_movemask_epi8(_mm_packs_epi16(ascii, _mm_setzero_si128()));
  const __m128i places = _mm_load_si128(reinterpret_cast<const __m128i*>(kPlaces.of_two[mask]));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm_shuffle_epi8(bytes, places));
  return out + 16 - __builtin_popcount(mask);
}

// Four units below 0x10000, no surrogates, in 32 bits each: one to three bytes each.
inline Byte* write_three(__m128i units, Byte* out) {
  const __m128i is_two = _mm_cmpgt_epi32(units, _mm_set1_epi32(0x7F));
  const __m128i is_three = _mm_cmpgt_epi32(units, _mm_set1_epi32(0x7FF));
  const __m128i six = _mm_set1_epi32(0x3F), inside = _mm_set1_epi32(0x80);
  const __m128i last = _mm_or_si128(_mm_and_si128(units, six), inside);
  const __m128i middle = _mm_or_si128(_mm_and_si128(_mm_srli_epi32(units, 6), six), inside);
  const __m128i two = _mm_or_si128(_mm_or_si128(_mm_srli_epi32(units, 6), _mm_set1_epi32(0xC0)),
                                   _mm_slli_epi32(last, 8));
  const __m128i three = _mm_or_si128(_mm_or_si128(_mm_srli_epi32(units, 12), _mm_set1_epi32(0xE0)),
                                     _mm_or_si128(_mm_slli_epi32(middle, 8), _mm_slli_epi32(last, 16)));
  const __m128i bytes = _mm_blendv_epi8(_mm_blendv_epi8(units, two, is_two), three, is_three);
  const int mask = _mm_movemask_ps(_mm_castsi128_ps(is_two)) | _mm_movemask_ps(_mm_castsi128_ps(is_three)) << 4;
  const __m128i places = _mm_load_si128(reinterpret_cast<const __m128i*>(kPlaces.of_four[mask]));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm_shuffle_epi8(bytes, places));
  return out + kPlaces.count_four[mask];
}

// Eight units of 16 bits, any but surrogates; null if one is there.
inline Byte* write_units(__m128i units, Byte* out) {
  const __m128i high = _mm_and_si128(units, _mm_set1_epi16(static_cast<short>(0xF800)));
  if (_mm_testz_si128(high, high)) return write_two(units, out);
  if (_mm_movemask_epi8(_mm_cmpeq_epi16(high, _mm_set1_epi16(static_cast<short>(0xD800))))) return nullptr;
  out = write_three(_mm_cvtepu16_epi32(units), out);
  return write_three(_mm_cvtepu16_epi32(_mm_srli_si128(units, 8)), out);
}

}  // namespace

std::size_t valid_blocks(const Byte* text, std::size_t size) {
  __m256i previous = _mm256_setzero_si256();
  std::size_t at = 0;
  for (; at + 64 <= size; at += 64) {
    const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text + at));
    const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text + at + 32));
    const __m256i wrong = _mm256_or_si256(faults(low, previous), faults(high, low));
    if (!_mm256_testz_si256(wrong, wrong)) break;
    previous = high;
  }
  // The last character may go on: the rest is checked from its first byte.
  for (int i = 0; i < 4 && at > 0; ++i) {
    if ((text[--at] & 0xC0) != 0x80) break;
  }
  return at;
}

Written to_utf8(const std::uint8_t* text, std::size_t length, Byte* out) {
  std::size_t at = 0;
  for (; at + 16 <= length; at += 16) {
    const __m128i units = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text + at));
    if (_mm_movemask_epi8(units) == 0) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out), units);
      out += 16;
      continue;
    }
    out = write_two(_mm_cvtepu8_epi16(units), out);
    out = write_two(_mm_cvtepu8_epi16(_mm_srli_si128(units, 8)), out);
  }
  return {at, out};
}

Written to_utf8(const std::uint16_t* text, std::size_t length, Byte* out) {
  std::size_t at = 0;
  for (; at + 16 <= length; at += 16) {
    const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text + at));
    const __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text + at + 8));
    const __m128i both = _mm_or_si128(low, high);
    if (_mm_testz_si128(both, _mm_set1_epi16(static_cast<short>(0xFF80)))) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm_packus_epi16(low, high));
      out += 16;
      continue;
    }
    Byte* const half = write_units(low, out);
    if (!half) break;
    Byte* const end = write_units(high, half);
    if (!end) break;
    out = end;
  }
  return {at, out};
}

Written to_utf8(const std::uint32_t* text, std::size_t length, Byte* out) {
  std::size_t at = 0;
  for (; at + 8 <= length; at += 8) {
    const __m256i units = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text + at));
    if (!_mm256_testz_si256(units, _mm256_set1_epi32(static_cast<int>(0xFFFF0000)))) break;
    const __m256i narrow = _mm256_permute4x64_epi64(_mm256_packus_epi32(units, units), 0x08);
    Byte* const end = write_units(_mm256_castsi256_si128(narrow), out);
    if (!end) break;
    out = end;
  }
  return {at, out};
}

}  // namespace jarvis::bpe::avx2
JARVIS_AVX2_END
#endif

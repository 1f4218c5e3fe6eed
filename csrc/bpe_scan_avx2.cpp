// The scanners by masks of two registers of 32 bytes.
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <cstdint>
#include <cstring>

#include "bpe_blocks.h"
#include "cpu_choice.h"

#ifdef JARVIS_AVX2_BEGIN
JARVIS_AVX2_BEGIN
namespace jarvis::bpe::avx2 {
namespace {

using Mask = std::uint64_t;

struct Bytes {
  __m256i low, high;
};

JARVIS_INLINE Bytes load(const Byte* text) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(text)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text + 32))};
}
JARVIS_INLINE Mask mask(__m256i low, __m256i high) {
  return static_cast<std::uint32_t>(_mm256_movemask_epi8(low)) |
         Mask{static_cast<std::uint32_t>(_mm256_movemask_epi8(high))} << 32;
}
JARVIS_INLINE __m256i all(int value) { return _mm256_set1_epi8(static_cast<char>(value)); }

JARVIS_INLINE Mask beyond_ascii(const Bytes& bytes) { return mask(bytes.low, bytes.high); }
JARVIS_INLINE Mask same(const Bytes& bytes, int value) {
  return mask(_mm256_cmpeq_epi8(bytes.low, all(value)), _mm256_cmpeq_epi8(bytes.high, all(value)));
}
JARVIS_INLINE __m256i within(__m256i bytes, int first, int count) {
  const __m256i from = _mm256_sub_epi8(bytes, all(first));
  return _mm256_cmpeq_epi8(_mm256_min_epu8(from, all(count - 1)), from);
}
// Bytes in [first, first + count).
JARVIS_INLINE Mask within(const Bytes& bytes, int first, int count) {
  return mask(within(bytes.low, first, count), within(bytes.high, first, count));
}
JARVIS_INLINE Mask ascii_letters(const Bytes& bytes) {
  return within({_mm256_or_si256(bytes.low, all(0x20)), _mm256_or_si256(bytes.high, all(0x20))}, 'a', 26);
}
JARVIS_INLINE Mask continuations(const Bytes& bytes) {
  return mask(_mm256_cmpgt_epi8(all(-64), bytes.low), _mm256_cmpgt_epi8(all(-64), bytes.high));
}
// d l m r s t v, by the halves of the byte: columns 6 and 7, and 4 and 5 for capitals.
template <bool kCapitals>
JARVIS_INLINE __m256i not_of_suffixes(__m256i bytes) {
  const __m256i by_low = _mm256_setr_epi8(0, 0, 2, 2, 3, 0, 2, 0, 0, 0, 0, 0, 1, 1, 0, 0,  //
                                          0, 0, 2, 2, 3, 0, 2, 0, 0, 0, 0, 0, 1, 1, 0, 0);
  constexpr char k4 = kCapitals ? 1 : 0, k5 = kCapitals ? 2 : 0;
  const __m256i by_high = _mm256_setr_epi8(0, 0, 0, 0, k4, k5, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0,  //
                                           0, 0, 0, 0, k4, k5, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0);
  const __m256i half = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), all(15));
  const __m256i both = _mm256_and_si256(_mm256_shuffle_epi8(by_low, bytes), _mm256_shuffle_epi8(by_high, half));
  return _mm256_cmpeq_epi8(both, _mm256_setzero_si256());
}
template <bool kCapitals>
JARVIS_INLINE Mask letters_of_suffixes(const Bytes& bytes) {
  return ~mask(not_of_suffixes<kCapitals>(bytes.low), not_of_suffixes<kCapitals>(bytes.high));
}

// Offsets of the bits, from `base` on. Up to 8 are written at once, so `out` needs that much room past the last.
inline std::uint32_t* flatten(Mask bits, std::uint32_t base, std::uint32_t* out) {
  const int count = __builtin_popcountll(bits);
  std::uint32_t* const end = out + count;
  for (; out < end; out += 8) {
    for (int i = 0; i < 8; ++i) {
      out[i] = base + static_cast<std::uint32_t>(_tzcnt_u64(bits));
      bits &= bits - 1;
    }
  }
  return end;
}

#include "bpe_scan_blocks.inc"

}  // namespace jarvis::bpe::avx2
JARVIS_AVX2_END
#endif

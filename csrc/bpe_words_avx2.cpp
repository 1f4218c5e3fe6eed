// Words to ids by the sets of the word cache: a pass that hashes and fetches ahead, then one that compares and writes.
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "bpe_words.h"
#include "cpu_choice.h"

#ifdef JARVIS_AVX2_BEGIN
JARVIS_AVX2_BEGIN
namespace jarvis::bpe::avx2 {
namespace {

constexpr std::size_t kAhead = 128;  // words whose sets are fetched before the first is looked at

alignas(64) constexpr Byte kKeep[32] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
                                        0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
struct Lengths {
  alignas(64) Byte row[17][16] = {};
  constexpr Lengths() {
    for (int length = 0; length <= 16; ++length) row[length][15] = static_cast<Byte>(length);
  }
};
constexpr Lengths kLengths;

// The word's bytes, zeros, and its length. A longer word gets the length 16, which no entry has.
inline __m128i key_of(const Byte* word, std::size_t size) {
  const std::size_t kept = size < 16 ? size : 16;
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(word));
  const __m128i keep = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kKeep + 16 - kept));
  const __m128i length = _mm_load_si128(reinterpret_cast<const __m128i*>(kLengths.row[kept]));
  return _mm_or_si128(_mm_and_si128(bytes, keep), length);
}

inline bool equal(__m128i key, const Key& other) {
  const __m128i there = _mm_load_si128(reinterpret_cast<const __m128i*>(&other));
  return _mm_movemask_epi8(_mm_cmpeq_epi8(key, there)) == 0xFFFF;
}

inline std::uint16_t* unpack(const Entry<std::uint16_t>& entry, std::uint16_t* out) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm_load_si128(reinterpret_cast<const __m128i*>(entry.packed)));
  std::uint16_t count;
  std::memcpy(&count, entry.packed + 14, 2);
  return out + count;
}

inline std::uint32_t* unpack(const Entry<std::uint32_t>& entry, std::uint32_t* out) {
  const __m256i twice = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(entry.packed)));
  const __m256i spread = _mm256_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1,  //
                                          12, 13, 14, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_shuffle_epi8(twice, spread));
  return out + entry.packed[15];
}

}  // namespace

template <class Id>
Id* emit_words(const Byte* text, const std::uint32_t* starts, std::size_t count, const Merger& merger, Id* out,
               Workspace<Id>& workspace) {
  Byte* const sets = reinterpret_cast<Byte*>(workspace.cache.sets());
  constexpr std::uint32_t kPlaces = ((1u << WordCache<Id>::kSetBits) - 1) * 2 * sizeof(Entry<Id>);
  alignas(16) Key keys[kAhead];
  std::uint32_t places[kAhead];  // of the sets, in bytes
  for (; count > 0; starts += std::min(count, kAhead), count -= std::min(count, kAhead)) {
    const std::size_t words = std::min(count, kAhead);
    for (std::size_t i = 0; i < words; ++i) {
      _mm_store_si128(reinterpret_cast<__m128i*>(keys + i), key_of(text + starts[i], starts[i + 1] - starts[i]));
      const std::uint64_t hash = _mm_crc32_u64(_mm_crc32_u64(0, keys[i].low), keys[i].high);
      places[i] = static_cast<std::uint32_t>(hash) & kPlaces;
      _mm_prefetch(reinterpret_cast<const char*>(sets + places[i]), _MM_HINT_T0);
    }
    for (std::size_t i = 0; i < words; ++i) {
      const __m128i key = _mm_load_si128(reinterpret_cast<const __m128i*>(keys + i));
      auto* const entry = reinterpret_cast<Entry<Id>*>(sets + places[i]);
      if (equal(key, entry->key)) [[likely]] {
        out = unpack(*entry, out);
      } else if (equal(key, entry[1].key)) {
        std::swap(entry[0], entry[1]);  // the commoner of the two comes to lie in front
        out = unpack(*entry, out);
      } else {
        out = missed_word(text + starts[i], starts[i + 1] - starts[i], keys[i], entry, merger, out, workspace);
      }
    }
  }
  return out;
}

template std::uint16_t* emit_words(const Byte*, const std::uint32_t*, std::size_t, const Merger&, std::uint16_t*,
                                   Workspace<std::uint16_t>&);
template std::uint32_t* emit_words(const Byte*, const std::uint32_t*, std::size_t, const Merger&, std::uint32_t*,
                                   Workspace<std::uint32_t>&);

}  // namespace jarvis::bpe::avx2
JARVIS_AVX2_END
#endif

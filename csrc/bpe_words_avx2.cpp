// Words to ids through the sets of the word cache: a pass that hashes and fetches ahead, a pass that compares and writes.
#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "bpe_words.h"
#include "cpu_choice.h"

#ifdef JARVIS_AVX2_BEGIN
JARVIS_AVX2_BEGIN
namespace jarvis::bpe::avx2 {
namespace {

constexpr std::size_t kAhead = 64;  // words whose sets are fetched before the first is looked at

alignas(32) constexpr Byte kKeep[32] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
                                        0xFF, 0xFF, 0xFF, 0xFF, 0xFF};

// The word's bytes, zeros, and its length; of a word over 15 bytes, nonsense that nobody asks for.
inline __m128i key_of(const Byte* word, std::size_t size) {
  const std::size_t kept = size < kLongestKey ? size : kLongestKey;
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(word));
  const __m128i keep = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kKeep + 16 - kept));
  return _mm_insert_epi8(_mm_and_si128(bytes, keep), static_cast<int>(size), 15);
}

inline std::size_t set_of(__m128i key) {
  const auto low = static_cast<std::uint64_t>(_mm_cvtsi128_si64(key));
  const auto high = static_cast<std::uint64_t>(_mm_extract_epi64(key, 1));
  return _mm_crc32_u64(_mm_crc32_u64(0, low), high);
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
  Entry<Id>* const sets = workspace.cache.sets();
  constexpr std::size_t kMask = (std::size_t{1} << WordCache<Id>::kSetBits) - 1;
  std::uint32_t set[kAhead];
  for (std::size_t first = 0; first < count; first += kAhead) {
    const std::size_t words = count - first < kAhead ? count - first : kAhead;
    const std::uint32_t* start = starts + first;
    for (std::size_t i = 0; i < words; ++i) {
      set[i] = static_cast<std::uint32_t>(set_of(key_of(text + start[i], start[i + 1] - start[i])) & kMask);
      _mm_prefetch(reinterpret_cast<const char*>(sets + 2 * std::size_t{set[i]}), _MM_HINT_T0);
    }
    for (std::size_t i = 0; i < words; ++i) {
      const Byte* word = text + start[i];
      const std::size_t size = start[i + 1] - start[i];
      const __m128i key = key_of(word, size);
      const Entry<Id>* entry = sets + 2 * std::size_t{set[i]};
      const bool second = equal(key, entry[1].key);
      const bool found = equal(key, entry[0].key) | second;
      entry += second;
      if (found && size <= kLongestKey) [[likely]] {
        out = unpack(*entry, out);
      } else if (size <= kLongestKey) {
        Key missed;
        _mm_storeu_si128(reinterpret_cast<__m128i*>(&missed), key);
        out = missed_word(word, size, missed, set[i], merger, out, workspace);
      } else {
        out = long_word(word, size, merger, out, workspace);
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

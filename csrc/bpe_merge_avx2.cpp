// Merging a word of at most 16 bytes: the ranks of its pairs lie in one register, and the least of them is one
// instruction. A word costs its merges times the way from one rank to the next, so that way is kept short.
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <cstdint>

#include "bpe_merge.h"
#include "cpu_choice.h"

#ifdef JARVIS_AVX2_BEGIN
JARVIS_AVX2_BEGIN
namespace jarvis::bpe::avx2 {
namespace {

constexpr std::uint32_t kNone = 0xFFFF;

struct Line {
  std::uint32_t pairs[8];
  std::uint16_t ranks[9];   // one more: the answer for a pair that is not there
  std::uint16_t overflows;  // some pair of this line lies in the next
};

inline unsigned place_in(const Line& line, std::uint32_t pair) {
  const __m256i pairs = _mm256_load_si256(reinterpret_cast<const __m256i*>(line.pairs));
  const __m256i found = _mm256_cmpeq_epi32(pairs, _mm256_set1_epi32(static_cast<int>(pair)));
  return _tzcnt_u32(static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(found))) | 0x100);
}

__attribute__((noinline)) std::uint32_t rank_beyond(const NarrowTable& table, std::size_t at, std::uint32_t pair) {
  for (;;) {
    at = (at + 1) & table.line_mask;
    const Line& line = reinterpret_cast<const Line*>(table.lines + 64 * at)[0];
    const unsigned place = place_in(line, pair);
    if (place < 8 || !line.overflows) return line.ranks[place];
  }
}

// No branch on whether the pair merges, which cannot be foretold; only on whether its line overflows, which is rare.
JARVIS_INLINE std::uint32_t rank_of(const NarrowTable& table, std::uint32_t left, std::uint32_t right) {
  const std::uint32_t pair = left << 16 | right;
  const std::size_t at = pair * std::uint64_t{0x9E3779B97F4A7C15u} >> table.shift;
  const Line& line = reinterpret_cast<const Line*>(table.lines + 64 * at)[0];
  const unsigned place = place_in(line, pair);
  if (line.overflows) [[unlikely]] {
    if (place == 8) return rank_beyond(table, at, pair);
  }
  return line.ranks[place];
}

// Unit i lies at place i + 1; places 0 and size + 1 hold an id that merges with nothing.
template <bool kLong>
inline std::uint16_t* merge(const NarrowTable& table, const Byte* word, std::size_t size, std::uint16_t* out) {
  std::uint16_t ids[18];
  alignas(32) std::uint16_t first[16];
  ids[0] = ids[size + 1] = table.outside;
  _mm256_store_si256(reinterpret_cast<__m256i*>(first), _mm256_set1_epi16(-1));
  ids[1] = static_cast<std::uint16_t>(table.base[word[0]]);
  for (std::size_t i = 1; i < size; ++i) {
    ids[i + 1] = static_cast<std::uint16_t>(table.base[word[i]]);
    first[i - 1] = static_cast<std::uint16_t>(rank_of(table, ids[i], ids[i + 1]));
  }
  const __m256i numbers = _mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  __m256i ranks = _mm256_load_si256(reinterpret_cast<const __m256i*>(first));
  const auto put = [&](std::uint32_t unit, std::uint32_t rank) {
    const __m256i here = _mm256_cmpeq_epi16(numbers, _mm256_set1_epi16(static_cast<short>(unit)));
    ranks = _mm256_blendv_epi8(ranks, _mm256_set1_epi16(static_cast<short>(rank)), here);
  };
  std::uint32_t alive = (4u << size) - 1;  // a bit a place, the two at the ends too
  for (;;) {
    const __m128i low = _mm_minpos_epu16(_mm256_castsi256_si128(ranks));
    std::uint32_t least = static_cast<std::uint32_t>(_mm_cvtsi128_si32(low));
    if constexpr (kLong) {
      const __m128i high = _mm_minpos_epu16(_mm256_extracti128_si256(ranks, 1));
      const auto other = static_cast<std::uint32_t>(_mm_cvtsi128_si32(high)) | 8u << 16;
      least = (other & 0xFFFF) < (least & 0xFFFF) ? other : least;
    }
    const std::uint32_t rank = least & 0xFFFF;
    if (rank == kNone) break;
    const std::uint32_t left = (least >> 16) + 1;
    const std::uint32_t after = alive & (~1u << left);
    const std::uint32_t gone = _tzcnt_u32(after), right = _tzcnt_u32(after & (after - 1));
    const std::uint32_t previous = 31 - static_cast<std::uint32_t>(__builtin_clz(alive & ((1u << left) - 1)));
    alive &= ~(1u << gone);
    const std::uint32_t joined = table.joined[rank];
    ids[left] = static_cast<std::uint16_t>(joined);
    put(gone - 1, kNone);
    const std::uint32_t with_right = rank_of(table, joined, ids[right]);
    const std::uint32_t with_left = rank_of(table, ids[previous], joined);
    put(left - 1, with_right);
    put(previous - 1, with_left);
  }
  for (alive = (alive & (alive - 1)) & ~(2u << size); alive; alive &= alive - 1) *out++ = ids[_tzcnt_u32(alive)];
  return out;
}

}  // namespace

std::uint16_t* merge_small(const NarrowTable& table, const Byte* word, std::size_t size, std::uint16_t* out) {
  return size <= 9 ? merge<false>(table, word, size, out) : merge<true>(table, word, size, out);
}

}  // namespace jarvis::bpe::avx2
JARVIS_AVX2_END
#endif

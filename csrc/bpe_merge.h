// Merging one word: its units, then the pair of lowest rank again and again. No cache and no text here.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "bpe_utf8.h"

namespace jarvis::bpe {

// No id at all.
inline constexpr std::uint32_t kNoId = 0xFFFFFFFF;

// A MergeTable of 16-bit ids on plain pointers, for code compiled for another instruction set.
struct NarrowTable {
  const std::uint32_t* base;  // 256
  const std::uint16_t* joined;
  std::uint16_t outside;
  const Byte* lines;  // 64 bytes each: 8 pairs, 9 ranks, whether some pair lies in the next line
  std::size_t line_mask;
  int shift;
};

// Pair of ids -> rank of its merge, kNone if it has none. The pairs of a line of the processor's cache are compared
// without a branch: whether a pair merges cannot be foretold, and a wrong guess costs as much as the whole look-up. Small,
// for the table shares the cache with the words: 8 pairs of 16-bit ids in a line, or 4 of 32-bit ids.
template <class Id>
class MergeTable {
 public:
  static constexpr std::uint32_t kNone = std::numeric_limits<Id>::max();
  // 3 numbers a merge: left, right, joined. Their ranks, or none where the rank is the place; all below kNone.
  MergeTable(const std::vector<std::uint32_t>& merges, const std::vector<std::uint32_t>& ranks);
  std::uint32_t rank(std::uint32_t left, std::uint32_t right) const {
    const Pair pair = static_cast<Pair>(left) << 8 * sizeof(Id) | right;
    const Line* line = lines_.data() + (hash(pair) >> shift_);
    for (;;) {
      const int place = place_in(*line, pair);
      if (!line->overflows || place < kPairs) [[likely]] return line->rank[place];
      line = line + 1 == lines_.data() + lines_.size() ? lines_.data() : line + 1;
    }
  }
  std::uint32_t joined(std::uint32_t rank) const { return joined_[rank]; }
  std::uint32_t outside() const { return outside_; }  // an id that merges with nothing
  std::size_t ranks() const { return joined_.size(); }
  // Whether no merge brings forth a pair of a rank below its own, as in every vocabulary that was learnt.
  bool rising() const { return rising_; }
  NarrowTable narrow(const std::uint32_t* base) const {
    return {base, joined_.data(), outside_, reinterpret_cast<const Byte*>(lines_.data()), lines_.size() - 1, shift_};
  }

 private:
  using Pair = std::conditional_t<sizeof(Id) == 2, std::uint32_t, std::uint64_t>;
  static constexpr int kPairs = sizeof(Id) == 2 ? 8 : 4;
  static constexpr Pair kEmpty = ~Pair{0};
  struct alignas(64) Line {
    Pair pair[kPairs];
    Id rank[kPairs + 1];  // one more: the answer for a pair that is not there
    Id overflows;         // some pair of this line lies in the next
    Line() {
      std::fill_n(pair, kPairs, kEmpty);
      std::fill_n(rank, kPairs + 1, static_cast<Id>(kNone));
      overflows = 0;
    }
  };
  static_assert(sizeof(Line) == 64);
  static int place_in(const Line& line, Pair pair) {
    unsigned found = 1u << kPairs;
    for (int i = 0; i < kPairs; ++i) found |= static_cast<unsigned>(line.pair[i] == pair) << i;
    return std::countr_zero(found);
  }
  static std::uint64_t hash(std::uint64_t pair) {
    pair *= 0x9E3779B97F4A7C15u;
    return sizeof(Id) == 2 ? pair : (pair ^ pair >> 32) * 0xD6E8FEB86659FD93u;
  }
  std::vector<Line> lines_;
  std::vector<Id> joined_;  // by rank
  Id outside_;
  bool rising_ = true;
  int shift_;
};

namespace avx2 {
// The ids of a word of 2 to 16 bytes.
std::uint16_t* merge_small(const NarrowTable& table, const Byte* word, std::size_t size, std::uint16_t* out);
}

// What merging long words needs: kept between calls, never shared by two at once.
struct MergeScratch {
  struct Unit {  // of a word as a linked list; all that a merge touches lies close together
    std::uint32_t id, rank, next, previous;
  };
  struct Places {  // where pairs of some rank came to be, a line of the processor's cache; and the line before it
    std::uint32_t before, count, place[14];
  };
  std::vector<std::uint32_t> ids;
  std::vector<Unit> units;
  std::vector<std::uint64_t> heap;  // rank, then place
  std::vector<Places> places;       // or lines of places for each rank,
  std::vector<std::uint32_t> latest, due, now;  // its latest line, the ranks that have any, the places of one
  void shrink();  // gives back what a giant word needed
};

// Words to ids without a memory. The ids of `base` and `merges` are below `limit`, or std::invalid_argument.
class Merger {
 public:
  // base: the id of each byte, or empty. merges, ranks: as for MergeTable.
  Merger(const std::vector<std::uint32_t>& base, const std::vector<std::uint32_t>& merges,
         const std::vector<std::uint32_t>& ranks, std::unordered_map<std::string, std::uint32_t> words,
         std::size_t limit);
  // Words are made of characters with ids of their own, code point -> id. For any other its bytes, if `base` was not
  // empty; else `unknown`, once for neighbours if `fuse`; without `unknown` (kNoId), nothing.
  void by_character(const std::vector<std::pair<std::uint32_t, std::uint32_t>>& characters, std::uint32_t unknown,
                    bool fuse);
  // The ids of one word, at most `size` of them, written from `out` on; the end of them.
  template <class Id>
  Id* merge(const Byte* word, std::size_t size, Id* out, MergeScratch& scratch) const;

 private:
  // The ids that merging begins with, at most `size`; how many.
  std::size_t units(const Byte* word, std::size_t size, std::uint32_t* ids) const;
  std::size_t units_by_character(const Byte* word, std::size_t size, std::uint32_t* ids) const;

  std::unique_ptr<MergeTable<std::uint16_t>> narrow_;  // where ids and ranks have 16 bits; else
  std::unique_ptr<MergeTable<std::uint32_t>> wide_;
  std::uint32_t base_[256];
  NarrowTable small_{};  // for merge_small; lines is null where that cannot run
  bool by_character_ = false, by_byte_ = true, fuse_ = false;
  std::uint32_t unknown_ = kNoId;
  std::vector<std::uint32_t> latin_;                             // by code point below U+0250, kNoId: none
  std::unordered_map<std::uint32_t, std::uint32_t> characters_;  // the others
  std::unordered_map<std::string, std::uint32_t> words_;         // ignore_merges: words that are tokens as they are
};

}  // namespace jarvis::bpe

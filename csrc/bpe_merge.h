// Merging one word: its units, then the pair of lowest rank again and again. No cache and no text here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "bpe_utf8.h"

namespace jarvis::bpe {

// Pair of ids -> rank and joined id, by open addressing.
class MergeTable {
 public:
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;
  struct Merge {
    std::uint32_t rank, joined;
  };
  explicit MergeTable(const std::vector<std::uint32_t>& merges);
  Merge find(std::uint32_t left, std::uint32_t right) const {
    const std::uint64_t key = std::uint64_t{left} << 32 | right;
    for (std::size_t slot = hash(key);; slot = (slot + 1) & mask_) {
      if (slots_[slot].key == key) return slots_[slot].merge;
      if (slots_[slot].merge.rank == kNone) return {kNone, kNone};
    }
  }

 private:
  struct Slot {
    std::uint64_t key = ~std::uint64_t{0};
    Merge merge{kNone, kNone};
  };
  std::size_t hash(std::uint64_t key) const { return (key * 0x9E3779B97F4A7C15u) >> shift_ & mask_; }
  std::vector<Slot> slots_;
  std::size_t mask_;
  int shift_;
};

// What merging long words needs: kept between calls, never shared by two at once.
struct MergeScratch {
  std::vector<std::uint32_t> ids, ranks, joined, next, previous;
  std::vector<std::uint64_t> heap;
  void shrink();  // gives back what a giant word needed
};

// Words to ids without a memory. The ids of `base` and `merges` are below `limit`, or std::invalid_argument.
class Merger {
 public:
  Merger(const std::vector<std::uint32_t>& base, const std::vector<std::uint32_t>& merges,
         std::unordered_map<std::string, std::uint32_t> words, std::size_t limit);
  // The ids of one word, at most `size` of them, written from `out` on; the end of them.
  template <class Id>
  Id* merge(const Byte* word, std::size_t size, Id* out, MergeScratch& scratch) const;

 private:
  template <class Id>
  Id* merge_short(const Byte* word, std::size_t size, Id* out) const;
  template <class Id>
  Id* merge_long(const Byte* word, std::size_t size, Id* out, MergeScratch& scratch) const;

  MergeTable merges_;
  std::uint32_t base_[256];
  std::unordered_map<std::string, std::uint32_t> words_;  // ignore_merges: words that are tokens as they are
};

}  // namespace jarvis::bpe

// From text without added tokens to ids: words, a bounded memory of words seen before, merges for the others.
#pragma once

#include <cstdlib>
#include <memory>
#include <vector>

#include "bpe_merge.h"
#include "bpe_scan.h"

namespace jarvis::bpe {

// The ids of words seen before: two places a set, the older gives way. Bounded: 4 MiB for 16-bit ids, 6 for 32-bit.
template <class Id>
class WordCache {
 public:
  static constexpr std::size_t kLongestWord = 15;  // bytes; with the length it makes a key of two 64-bit words
  static constexpr std::size_t kMostIds = 7;
  struct Key {
    std::uint64_t low, high;
    bool operator==(const Key& other) const { return low == other.low && high == other.high; }
  };
  struct alignas(16) Entry {
    Key key;
    Id ids[kMostIds];
    Id count;
  };
  WordCache();
  const Entry* find(const Key& key) const {
    const Entry* set = entries_.get() + 2 * index(key);
    if (set[0].key == key) return set;
    return set[1].key == key ? set + 1 : nullptr;
  }
  void insert(const Key& key, const Id* ids, std::size_t count);

 private:
  static constexpr int kBits = 16;
  static std::size_t index(const Key& key) {
    return ((key.low ^ (key.high * 0xD6E8FEB86659FD93u)) * 0x9E3779B97F4A7C15u) >> (64 - kBits);
  }
  struct Free {
    void operator()(Entry* entries) const;
  };
  std::unique_ptr<Entry[], Free> entries_;
};

// One caller's scratch: kept between calls, never shared by two at once.
template <class Id>
struct Workspace {
  WordCache<Id> cache;
  MergeScratch scratch;
  std::unique_ptr<Byte[]> buffer;
  std::size_t buffer_size = 0;
  Byte* at_least(std::size_t size);
  void shrink();  // gives back what a giant text needed
};

// Ids may be written this far past the last one.
inline constexpr std::size_t kSlack = 8;

// The ids of valid UTF-8 cut into words by a pattern, written from `out` on; the end of them. `out` has room for
// end - at + kSlack ids.
template <class Id>
Id* encode_words(Pattern pattern, const Merger& merger, const Byte* at, const Byte* end, Id* out,
                 Workspace<Id>& workspace);

}  // namespace jarvis::bpe

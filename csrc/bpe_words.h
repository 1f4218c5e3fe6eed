// From text without added tokens to ids: words, a bounded memory of words seen before, merges for the others.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "bpe_blocks.h"
#include "bpe_cut.h"
#include "bpe_merge.h"
#include "bpe_normalize.h"

namespace jarvis::bpe {

// A word of at most 15 bytes, padded with zeros, its length in the last: never all zero, so no empty entry fits.
struct Key {
  std::uint64_t low, high;
  bool operator==(const Key& other) const { return low == other.low && high == other.high; }
};
inline constexpr std::size_t kLongestKey = 15;

// A short word and its ids, 32 bytes: two make a set, and a set is a line of the processor's cache.
// Ids lie as uint16 with a uint16 count behind them, or as 24 bits each with a byte of count.
template <class Id>
struct Entry {
  static constexpr bool kWide = sizeof(Id) == 4;
  static constexpr std::size_t kMostIds = kWide ? 5 : 7;
  Key key;
  Byte packed[16];
  void pack(const Id* ids, std::size_t count);
  Id* unpack(Id* out) const;  // writes kMostIds ids whatever the count
};

// Longer words, and those of many ids: one place each, 128 bytes.
template <class Id>
struct LongEntry {
  static constexpr std::size_t kMostBytes = 48;
  static constexpr std::size_t kMostIds = 68 / sizeof(Id);
  std::uint64_t hash;
  std::uint16_t size, count;
  Id ids[kMostIds];
  Byte word[kMostBytes];
};

// The ids of words seen before. Bounded: 8 MiB of entries and 1 MiB of long ones, touched only as words come.
template <class Id>
class WordCache {
 public:
  WordCache();
  ~WordCache();
  WordCache(const WordCache&) = delete;
  static constexpr int kSetBits = 17;
  static constexpr int kLongBits = 13;
  Entry<Id>* sets() const { return sets_; }
  // Another set for a word whose own is full.
  Entry<Id>* other(const Entry<Id>* set, const Key& key) const {
    const std::size_t far = ((key.low ^ key.high >> 7) * 0x9E3779B97F4A7C15u >> (64 - kSetBits)) | 1;
    return sets_ + 2 * ((set - sets_) / 2 ^ far);
  }
  LongEntry<Id>& long_entry(std::uint64_t hash) { return long_[hash >> (64 - kLongBits)]; }

 private:
  void* memory_;
  std::size_t mapped_;
  Entry<Id>* sets_;
  LongEntry<Id>* long_;
};

// One caller's scratch: kept between calls, never shared by two at once.
template <class Id>
struct Workspace {
  WordCache<Id> cache;
  MergeScratch scratch;
  std::vector<Id> ids;                // of a short text
  std::vector<std::uint32_t> starts;  // of the words of a window
  std::vector<Byte> tail;             // the last window, with room to read on
  Normalizer::Buffers normalized;
  Cutter::Scratch cut;
  std::unique_ptr<Byte[]> buffer;
  std::size_t buffer_size = 0;
  Byte* at_least(std::size_t size);
  void shrink();  // gives back what a giant text needed
};

// Ids may be written this far past the last one.
inline constexpr std::size_t kSlack = 8;

// The ids of valid UTF-8 cut into words by a pattern, written from `out` on: where it stopped, and the end of them.
// whole: the text ends at `end`; else it goes on, and the words near its end wait. padded: kPadding bytes past the end can
// be read. `out` has room for end - at + kSlack ids.
template <class Id>
std::pair<const Byte*, Id*> encode_words(Pattern pattern, const Merger& merger, const Byte* at, const Byte* end,
                                         bool whole, bool padded, Id* out, Workspace<Id>& workspace);

// The same for words that were cut already: `count` of them, which begin at starts[0] … starts[count - 1] and end at
// starts[count], kPadding bytes past which can be read.
template <class Id>
Id* encode_cut_words(const Byte* text, const std::uint32_t* starts, std::size_t count, const Merger& merger, Id* out,
                     Workspace<Id>& workspace);

// Steps of it. The ids of `count` words, which begin at starts[0] … starts[count - 1] and end at starts[count].
template <class Id>
using EmitWords = Id* (*)(const Byte* text, const std::uint32_t* starts, std::size_t count, const Merger& merger, Id* out,
                          Workspace<Id>& workspace);
// A word that is not in its set: its ids, from the long entries or by merging; then it is there, if it can be.
template <class Id>
Id* missed_word(const Byte* word, std::size_t size, const Key& key, Entry<Id>* set, const Merger& merger, Id* out,
                Workspace<Id>& workspace);

namespace avx2 {
template <class Id>
Id* emit_words(const Byte* text, const std::uint32_t* starts, std::size_t count, const Merger& merger, Id* out,
               Workspace<Id>& workspace);
}

}  // namespace jarvis::bpe

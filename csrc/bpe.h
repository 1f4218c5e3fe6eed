// Byte-level byte-pair encoding: UTF-8 to ids, exactly as the tokenizers library. No Python and no torch here:
// bpe_module.cpp binds it, kernels/bpe/reference.py is its readable twin.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace jarvis::bpe {

using Byte = unsigned char;

// How text is cut into words before any merge; kernels/bpe/patterns.py has the regular expressions.
enum class Pattern { french, gpt2, llama3, qwen2, bloom };

// The pattern of that name; std::invalid_argument if there is none.
Pattern pattern_named(const std::string& name);

// The end of the word that begins at `at`, in valid UTF-8; at < end.
const Byte* next_word(Pattern pattern, const Byte* at, const Byte* end);

// The offset of the first byte that is not UTF-8 (overlong forms and surrogates are not), or nothing.
std::optional<std::size_t> first_invalid(const Byte* text, std::size_t size);

// Writes Python's own string storage (1, 2 or 4 bytes a character) as UTF-8, at most 2, 3 or 4 bytes a character.
// The end of what was written; std::invalid_argument names the first lone surrogate.
template <class Unit>
Byte* to_utf8(const Unit* text, std::size_t length, Byte* out);

// A token that is looked for in the text before words are cut.
struct AddedToken {
  std::string content;
  std::uint32_t id;
  bool special;             // only looked for when the caller asks for special tokens
  bool lstrip, rstrip;      // takes the white space on that side along
  bool normalized;          // looked for in a second pass, in what the first left
};

// What a tokenizer.json says, ids checked by the caller.
struct Model {
  std::vector<std::string> tokens;               // the bytes of each id
  std::vector<std::uint32_t> base;               // 256: the id of each byte
  std::vector<std::uint32_t> merges;             // 3 a merge, by rank: left, right, joined
  std::vector<AddedToken> added;
  std::unordered_map<std::string, std::uint32_t> words;  // ignore_merges: words that are tokens as they are
  Pattern pattern = Pattern::gpt2;
};

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
  std::vector<std::uint32_t> ids, ranks, joined, next, previous;
  std::vector<std::uint64_t> heap;
  std::unique_ptr<Byte[]> buffer;
  std::size_t buffer_size = 0;
  Byte* at_least(std::size_t size);
  void shrink();  // gives back what a giant text needed
};

class Encoder {
 public:
  explicit Encoder(Model model);
  std::size_t size() const { return tokens_.size(); }
  // Ids of valid UTF-8, written from `out` on; the end of them. `out` has room for size + kSlack ids.
  static constexpr std::size_t kSlack = 8;
  template <class Id>
  Id* encode(const Byte* text, std::size_t size, bool special, Id* out, Workspace<Id>& workspace) const;
  // The bytes of ids below size(), special tokens left out unless asked for.
  std::size_t decoded_size(const std::uint32_t* ids, std::size_t count, bool special) const;
  void decode(const std::uint32_t* ids, std::size_t count, bool special, char* out) const;

 private:
  template <class Id>
  Id* encode_plain(const Byte* at, const Byte* end, Id* out, Workspace<Id>& workspace) const;
  template <class Id, Pattern kPattern>
  Id* encode_words(const Byte* at, const Byte* end, Id* out, Workspace<Id>& workspace) const;
  template <class Id>
  Id* encode_around(int pass, const Byte* at, const Byte* end, bool special, Id* out, Workspace<Id>& workspace) const;
  template <class Id>
  Id* encode_word(const Byte* word, const Byte* word_end, const Byte* end, Id* out, Workspace<Id>& workspace) const;
  template <class Id>
  Id* merge_word(const Byte* word, std::size_t size, Id* out, Workspace<Id>& workspace) const;
  template <class Id>
  Id* merge_short(const Byte* word, std::size_t size, Id* out) const;
  template <class Id>
  Id* merge_long(const Byte* word, std::size_t size, Id* out, Workspace<Id>& workspace) const;
  const AddedToken* added_at(int pass, const Byte* at, const Byte* end) const;

  MergeTable merges_;
  std::uint32_t base_[256];
  Pattern pattern_;
  std::unordered_map<std::string, std::uint32_t> words_;
  std::vector<std::string> tokens_;
  std::vector<bool> is_special_;
  bool has_plain_added_ = false;
  std::vector<AddedToken> added_[2];           // by pass, the longest first
  std::vector<std::uint32_t> starts_[2][256];  // by first byte: places in added_
};

}  // namespace jarvis::bpe

// Learns byte-pair merges, as the trainer of the tokenizers library does: the same merges in the same order. Two steps:
// count the words of a corpus (memory grows with its distinct words alone), then join the commonest neighbours again and
// again. No Python here: bpe_train_module.cpp binds it, `learn` in kernels/bpe/reference.py is its readable twin.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bpe_text.h"

namespace jarvis::bpe {

// How often each word occurs, by open addressing. A word of up to 15 bytes is its own key (24 bytes a slot and nothing
// else), a longer one lies beside the table; between 5/16 and 5/8 of the slots are in use once there are 10,000 words.
class WordCounts {
 public:
  WordCounts();
  // Counts the words of valid UTF-8; kPadding bytes past the end can be read.
  void add_text(Pattern pattern, const Byte* text, std::size_t size);
  void absorb(WordCounts&& other);
  std::size_t size() const { return used_; }
  std::size_t memory() const { return slots_.size() * sizeof(Slot) + long_words_.capacity(); }
  template <class Visit>
  void each(Visit visit) const {  // visit(word, size, times)
    for (const Slot& slot : slots_) {
      if (!slot.times) continue;
      const auto [word, size] = spelling(slot);
      visit(word, size, slot.times);
    }
  }

 private:
  struct Key {
    std::uint64_t low, high;
    bool operator==(const Key&) const = default;
  };
  struct Slot {
    Key key;
    std::uint64_t times = 0;  // 0: free
  };
  struct Spelling {
    const Byte* word;
    std::size_t size;
  };
  static constexpr std::size_t kShort = 15;  // bytes; with the size in the last they make a key
  static constexpr std::size_t kBatch = 64;
  static constexpr std::size_t kLongestScan = 1 << 20;
  static constexpr std::uint64_t kLong = std::uint64_t{1} << 63;

  void add_by_character(Pattern pattern, const Byte* text, std::size_t size);
  void add_words(const Byte* text, const std::uint32_t* starts, std::size_t count);
  static Key short_key(const Byte* word, std::size_t size);
  Spelling spelling(const Slot& slot) const;
  std::size_t place(const Key& key) const;
  void add_short(const Key& key, std::uint64_t times);
  void add_long(const Byte* word, std::size_t size, std::uint64_t times);
  void make_room(std::size_t more);
  void put(const Slot& slot);

  std::vector<Slot> slots_;
  std::size_t mask_ = 0;
  int shift_ = 0;
  std::size_t used_ = 0;
  std::vector<Byte> long_words_;  // of each: 8 bytes of size, then the word
  std::vector<std::uint32_t> starts_;  // of the words of one text
};

// Counts the words of texts, one thread a table; long texts are cut where every pattern cuts. `check` is called now and
// then on the caller's thread; what it throws ends the counting, as does BadText for the first text that is not UTF-8.
// The bytes of UTF-8 that were read.
std::uint64_t count_words(Pattern pattern, const std::vector<Text>& texts, std::vector<WordCounts>& tables,
                          const std::function<void()>& check);

struct TrainingSettings {
  std::size_t vocab_size = 0;
  std::uint64_t min_frequency = 0;
  std::optional<std::size_t> limit_alphabet;
  std::size_t max_token_length = SIZE_MAX;
  std::array<bool, 256> initial_alphabet{};
  // Of each, the bytes that its text stands for in a byte-level vocabulary; nothing where it stands for none.
  std::vector<std::optional<std::string>> special_tokens;
};

struct Learnt {
  struct Merge {
    std::uint32_t left, right, joined;
  };
  std::vector<std::string> tokens;  // the bytes of each id; of a special token that stands for none, empty
  std::vector<Merge> merges;
};

// The merges of counted words. `progress(done, wanted)` is called now and then; what it throws ends the learning.
Learnt learn_merges(const TrainingSettings& settings, const WordCounts& words,
                    const std::function<void(std::size_t, std::size_t)>& progress);

}  // namespace jarvis::bpe

// The two steps of training: word counts over threads, then merges by a lazy queue of pairs.
#include "bpe_train.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

#include "bpe_blocks.h"
#include "bpe_utf8.h"

namespace jarvis::bpe {

namespace {

constexpr std::uint64_t kMix = 0x9E3779B97F4A7C15u;

std::uint64_t hash_bytes(const Byte* word, std::size_t size) {
  std::uint64_t hash = size * kMix;
  for (std::uint64_t part; size >= 8; word += 8, size -= 8) {
    std::memcpy(&part, word, 8);
    hash = (std::rotl(hash, 29) ^ part) * kMix;
  }
  std::uint64_t rest = 0;
  std::memcpy(&rest, word, size);
  hash = (std::rotl(hash, 29) ^ rest) * kMix;
  return hash ^ hash >> 32;
}

}  // namespace

// ---- Words and how often they occur

WordCounts::WordCounts() { make_room(kBatch); }

void WordCounts::add_text(Pattern pattern, const Byte* text, std::size_t size) {
  if (size > kLongestScan) return add_by_character(pattern, text, size);
  if (starts_.size() < size + 72) starts_.resize(size + 72);
  add_words(text, starts_.data(), word_starts(pattern)(text, size, starts_.data()));
}

// A text too long for a table of all its words.
void WordCounts::add_by_character(Pattern pattern, const Byte* text, std::size_t size) {
  const Byte* end = text + size;
  std::array<std::uint32_t, kBatch + 1> starts{};
  for (const Byte* at = text; at < end;) {
    const Byte* first = at;
    std::size_t count = 0;
    while (count < kBatch && at < end) {
      at = next_word(pattern, at, end);
      if (at - first > UINT32_MAX) throw std::length_error("one word of more than 4 GiB without a break");
      starts[++count] = static_cast<std::uint32_t>(at - first);
    }
    add_words(first, starts.data(), count);
  }
}

// Of each batch the keys first, and their slots asked for, then the counting: the table is larger than the nearest cache.
void WordCounts::add_words(const Byte* text, const std::uint32_t* starts, std::size_t count) {
  std::array<Key, kBatch> keys;
  for (std::size_t first = 0; first < count; first += kBatch, starts += kBatch) {
    const std::size_t words = std::min(kBatch, count - first);
    make_room(words);
    for (std::size_t i = 0; i < words; ++i) {
      keys[i] = short_key(text + starts[i], std::min<std::size_t>(starts[i + 1] - starts[i], kShort + 1));
      __builtin_prefetch(&slots_[place(keys[i])]);
    }
    for (std::size_t i = 0; i < words; ++i) {
      const std::size_t size = starts[i + 1] - starts[i];
      if (size <= kShort) {
        add_short(keys[i], 1);
      } else {
        add_long(text + starts[i], size, 1);
      }
    }
  }
}

void WordCounts::absorb(WordCounts&& other) {
  if (other.used_ > used_) std::swap(*this, other);
  for (const Slot& slot : other.slots_) {
    if (!slot.times) continue;
    make_room(1);
    if (slot.key.high & kLong) {
      const auto [word, size] = other.spelling(slot);
      add_long(word, size, slot.times);
    } else {
      add_short(slot.key, slot.times);
    }
  }
}

// Of up to 16 bytes, all of which can be read; of 16, nonsense that nobody asks for.
WordCounts::Key WordCounts::short_key(const Byte* word, std::size_t size) {
  static_assert(std::endian::native == std::endian::little, "the size goes into the last byte");
  static constexpr auto kKeep = [] {
    std::array<Byte, 32> keep{};
    std::fill_n(keep.begin(), 16, Byte{0xFF});
    return keep;
  }();
  Key key, keep;
  std::memcpy(&key, word, 16);
  std::memcpy(&keep, kKeep.data() + 16 - size, 16);
  return {key.low & keep.low, (key.high & keep.high) | std::uint64_t{size} << 56};
}

WordCounts::Spelling WordCounts::spelling(const Slot& slot) const {
  if (!(slot.key.high & kLong)) {
    return {reinterpret_cast<const Byte*>(&slot.key), static_cast<std::size_t>(slot.key.high >> 56)};
  }
  const Byte* stored = long_words_.data() + (slot.key.high & ~kLong);
  std::uint64_t size;
  std::memcpy(&size, stored, 8);
  return {stored + 8, static_cast<std::size_t>(size)};
}

std::size_t WordCounts::place(const Key& key) const {
  return ((key.low ^ std::rotl(key.high * 0xD6E8FEB86659FD93u, 32)) * kMix) >> shift_;
}

void WordCounts::add_short(const Key& key, std::uint64_t times) {
  std::size_t at = place(key);
  while (slots_[at].times && !(slots_[at].key == key)) at = (at + 1) & mask_;
  used_ += slots_[at].times == 0;
  slots_[at].key = key;
  slots_[at].times += times;
}

// The key of a long word: its hash, and where its bytes lie.
void WordCounts::add_long(const Byte* word, std::size_t size, std::uint64_t times) {
  const std::uint64_t hash = hash_bytes(word, size);
  for (std::size_t at = place({hash, 0});; at = (at + 1) & mask_) {
    Slot& slot = slots_[at];
    if (!slot.times) {
      slot = {{hash, kLong | long_words_.size()}, times};
      const std::uint64_t stored = size;
      const auto* bytes = reinterpret_cast<const Byte*>(&stored);
      long_words_.insert(long_words_.end(), bytes, bytes + 8);
      long_words_.insert(long_words_.end(), word, word + size);
      ++used_;
      return;
    }
    if (slot.key.low != hash || !(slot.key.high & kLong)) continue;
    const auto [known, known_size] = spelling(slot);
    if (known_size == size && std::memcmp(known, word, size) == 0) {
      slot.times += times;
      return;
    }
  }
}

void WordCounts::make_room(std::size_t more) {
  if (!slots_.empty() && (used_ + more) * 8 <= slots_.size() * 5) return;
  std::size_t size = std::max<std::size_t>(slots_.size(), 8192);
  while ((used_ + more) * 8 > size * 5 || size == slots_.size()) size *= 2;
  std::vector<Slot> old(size);
  old.swap(slots_);
  mask_ = size - 1;
  shift_ = 64 - std::countr_zero(size);
  for (const Slot& slot : old) {
    if (slot.times) put(slot);
  }
}

void WordCounts::put(const Slot& slot) {
  const bool is_long = slot.key.high & kLong;
  std::size_t at = place(is_long ? Key{slot.key.low, 0} : slot.key);
  while (slots_[at].times) at = (at + 1) & mask_;
  slots_[at] = slot;
}

// ---- Texts to words, on several threads

namespace {

constexpr std::size_t kSegment = 1 << 15;  // characters or bytes: what a thread takes at a time, still in its cache

// A part of a text that begins and ends where every pattern cuts.
struct Segment {
  std::size_t text, begin, end;
};

// From `at` on, the next place between an ASCII letter and a space, else the end. Every pattern cuts there: none takes a
// space after a letter into a word, and no look-ahead past a letter tells a space from the end of the text.
template <class Unit>
std::size_t next_cut(const Unit* text, std::size_t at, std::size_t length) {
  for (; at < length; ++at) {
    if (text[at] == ' ' && static_cast<std::uint32_t>((text[at - 1] | 0x20) - 'a') < 26) return at;
  }
  return length;
}

std::size_t next_cut(const Text& text, std::size_t at) {
  if (text.kind == Text::Kind::two) return next_cut(static_cast<const std::uint16_t*>(text.data), at, text.length);
  if (text.kind == Text::Kind::four) return next_cut(static_cast<const std::uint32_t*>(text.data), at, text.length);
  return next_cut(static_cast<const Byte*>(text.data), at, text.length);
}

// What the threads share: the segments in order, grouped so that a group is worth taking.
class Reading {
 public:
  Reading(Pattern pattern, const std::vector<Text>& texts, const std::function<void()>& check)
      : pattern_(pattern), texts_(texts), check_(check) {
    std::size_t filled = kSegment;
    for (std::size_t text = 0; text < texts.size(); ++text) {
      for (std::size_t begin = 0; begin < texts[text].length;) {
        const std::size_t end = next_cut(texts[text], begin + kSegment);
        if (filled >= kSegment) {
          groups_.push_back(segments_.size());
          filled = 0;
        }
        segments_.push_back({text, begin, end});
        filled += end - begin;
        begin = end;
      }
    }
    last_group_ = groups_.size();
    groups_.push_back(segments_.size());
  }

  std::uint64_t run(std::vector<WordCounts>& tables) {
    const std::size_t threads = std::max<std::size_t>(1, std::min(tables.size(), last_group_.load()));
    std::vector<std::thread> others;
    for (std::size_t i = 1; i < threads; ++i) others.emplace_back([&, i] { work(tables[i], false); });
    work(tables[0], true);
    for (std::thread& other : others) other.join();
    if (failure_) std::rethrow_exception(failure_);
    return bytes_;
  }

 private:
  // Groups are taken in order and those before a failure are finished, so that the first bad text is the one reported.
  void work(WordCounts& table, bool main) {
    std::vector<Byte> buffer;
    for (std::size_t group; (group = next_group_++) < last_group_;) {
      try {
        if (main) check_();
        for (std::size_t i = groups_[group]; i < groups_[group + 1]; ++i) add(segments_[i], table, buffer);
      } catch (...) {
        fail(group, std::current_exception());
        return;
      }
    }
  }

  void fail(std::size_t group, std::exception_ptr failure) {
    const std::lock_guard guard(lock_);
    if (group > last_group_) return;
    last_group_ = group;
    failure_ = std::move(failure);
  }

  void add(const Segment& segment, WordCounts& table, std::vector<Byte>& buffer) {
    const Text& text = texts_[segment.text];
    try {
      if (text.kind == Text::Kind::one) return add_written<std::uint8_t>(text, segment, table, buffer);
      if (text.kind == Text::Kind::two) return add_written<std::uint16_t>(text, segment, table, buffer);
      if (text.kind == Text::Kind::four) return add_written<std::uint32_t>(text, segment, table, buffer);
      add_bytes(text, segment, table, buffer);
    } catch (BadText& bad) {
      bad.text = segment.text;
      throw;
    }
  }

  void add_bytes(const Text& text, const Segment& segment, WordCounts& table, std::vector<Byte>& buffer) {
    const Byte* bytes = static_cast<const Byte*>(text.data) + segment.begin;
    const std::size_t size = segment.end - segment.begin;
    if (text.kind == Text::Kind::utf8) {
      if (const auto offset = first_invalid(bytes, size)) throw BadText(segment.begin + *offset, bytes[*offset], false);
    }
    if (text.length - segment.end < kPadding) {
      make_room(buffer, size);
      std::memcpy(buffer.data(), bytes, size);
      bytes = buffer.data();
    }
    add_utf8(table, bytes, size);
  }

  template <class Unit>
  void add_written(const Text& text, const Segment& segment, WordCounts& table, std::vector<Byte>& buffer) {
    const Unit* units = static_cast<const Unit*>(text.data) + segment.begin;
    const std::size_t length = segment.end - segment.begin;
    make_room(buffer, (sizeof(Unit) == 4 ? 4 : sizeof(Unit) + 1) * length);
    const Written written = to_utf8(units, length, buffer.data());
    if (written.units < length) throw BadText(segment.begin + written.units, units[written.units], true);
    add_utf8(table, buffer.data(), static_cast<std::size_t>(written.end - buffer.data()));
  }

  void add_utf8(WordCounts& table, const Byte* utf8, std::size_t size) {
    table.add_text(pattern_, utf8, size);
    bytes_ += size;
  }

  static void make_room(std::vector<Byte>& buffer, std::size_t size) {
    static_assert(kPadding >= kUtf8Slack);
    if (buffer.size() < size + kPadding) buffer.resize(size + kPadding);
  }

  const Pattern pattern_;
  const std::vector<Text>& texts_;
  const std::function<void()>& check_;
  std::vector<Segment> segments_;
  std::vector<std::size_t> groups_;  // where each begins in segments_
  std::atomic<std::size_t> next_group_{0}, last_group_{0};
  std::atomic<std::uint64_t> bytes_{0};
  std::mutex lock_;
  std::exception_ptr failure_;
};

}  // namespace

std::uint64_t count_words(Pattern pattern, const std::vector<Text>& texts, std::vector<WordCounts>& tables,
                          const std::function<void()>& check) {
  return Reading(pattern, texts, check).run(tables);
}

// ---- Merges

namespace {

// Memory in large blocks, given back all at once.
class Arena {
 public:
  std::uint32_t* take(std::size_t count) {
    if (count > left_) {
      left_ = std::max(count, kBlock);
      blocks_.push_back(std::make_unique_for_overwrite<std::uint32_t[]>(left_));
      at_ = blocks_.back().get();
    }
    left_ -= count;
    return std::exchange(at_, at_ + count);
  }

 private:
  static constexpr std::size_t kBlock = 1 << 18;
  std::vector<std::unique_ptr<std::uint32_t[]>> blocks_;
  std::uint32_t* at_ = nullptr;
  std::size_t left_ = 0;
};

// Pair of ids -> how often the two are neighbours, by open addressing.
class PairCounts {
 public:
  static std::uint64_t key(std::uint32_t left, std::uint32_t right) { return std::uint64_t{left} << 32 | right; }
  PairCounts() { grow(1 << 12); }
  void make_room(std::size_t more) {
    if ((used_ + more) * 2 > slots_.size()) grow(std::bit_ceil((used_ + more) * 2));
  }
  void prefetch(std::uint64_t key) const { __builtin_prefetch(&slots_[place(key)]); }
  // The count, zero for a pair not seen before; room was made for it.
  std::int64_t& operator[](std::uint64_t key) {
    std::size_t at = place(key);
    while (slots_[at].key != key) {
      if (slots_[at].key == kFree) {
        slots_[at].key = key;
        ++used_;
        break;
      }
      at = (at + 1) & mask_;
    }
    return slots_[at].count;
  }

 private:
  static constexpr std::uint64_t kFree = ~std::uint64_t{0};
  struct Slot {
    std::uint64_t key = kFree;
    std::int64_t count = 0;
  };
  std::size_t place(std::uint64_t key) const { return (key * kMix) >> shift_; }
  void grow(std::size_t size) {
    std::vector<Slot> old(size);
    old.swap(slots_);
    mask_ = size - 1;
    shift_ = 64 - std::countr_zero(size);
    used_ = 0;
    for (const Slot& slot : old) {
      if (slot.key != kFree) (*this)[slot.key] = slot.count;
    }
  }
  std::vector<Slot> slots_;
  std::size_t mask_ = 0;
  int shift_ = 0;
  std::size_t used_ = 0;
};

// A pair and the words that hold it. A pair is queued once, when the younger of its tokens is made: no other merge makes
// that token again, since what lies within its bytes is merged alike wherever they stand.
struct Occurrences {
  std::uint32_t left, right;
  std::uint32_t n_words;
  std::uint32_t* words() { return &n_words + 1; }
  const std::uint32_t* words() const { return &n_words + 1; }
  std::uint32_t last() const { return words()[n_words - 1]; }
  std::uint64_t key() const { return PairCounts::key(left, right); }
};
constexpr std::size_t kHeader = sizeof(Occurrences) / sizeof(std::uint32_t);

// Pairs by falling count, then by rising ids. An entry keeps the count it was queued with, and most pairs are rare:
// those below `level_` wait unsorted in a list for each count, and the heap holds only what may come next.
class Queue {
 public:
  struct Entry {
    std::int64_t count;
    Occurrences* where;
  };
  void push(std::int64_t count, Occurrences* where) {
    if (count < level_) {
      waiting_[count].push_back(where);
      return;
    }
    heap_.push_back({count, where});
    std::push_heap(heap_.begin(), heap_.end(), later);
  }
  // The first entry of at least this count, or nothing.
  std::optional<Entry> pop(std::int64_t least) {
    while (heap_.empty()) {
      if (level_ <= least) return std::nullopt;
      --level_;
      for (Occurrences* where : waiting_[level_]) heap_.push_back({level_, where});
      std::make_heap(heap_.begin(), heap_.end(), later);
      std::vector<Occurrences*>().swap(waiting_[level_]);
    }
    std::pop_heap(heap_.begin(), heap_.end(), later);
    const Entry first = heap_.back();
    heap_.pop_back();
    if (first.count < least) return std::nullopt;
    return first;
  }

 private:
  static constexpr std::int64_t kLevels = 4096;
  static bool later(const Entry& a, const Entry& b) {
    if (a.count != b.count) return a.count < b.count;
    return a.where->key() > b.where->key();
  }
  std::int64_t level_ = kLevels;
  std::vector<Entry> heap_;
  std::array<std::vector<Occurrences*>, kLevels> waiting_;
};

// All bytes in the order of the characters that stand for them in a vocabulary: those that print stand for themselves,
// the others follow from U+0100 on.
std::array<Byte, 256> byte_order() {
  std::array<Byte, 256> order;
  for (int byte = 0; byte < 256; ++byte) order[byte] = static_cast<Byte>(byte);
  std::stable_partition(order.begin(), order.end(), [](Byte byte) {
    return (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
  });
  return order;
}

// The bytes that get an id: those of the corpus and the initial ones; of too many the rarest go, of equally rare ones
// those whose characters come last. In the order of their characters.
std::vector<Byte> alphabet(const TrainingSettings& settings, const WordCounts& words) {
  std::array<std::uint64_t, 256> times{};
  words.each([&](const Byte* word, std::size_t size, std::uint64_t count) {
    for (std::size_t i = 0; i < size; ++i) times[word[i]] += count;
  });
  std::vector<Byte> kept;
  for (const Byte byte : byte_order()) {
    if (settings.initial_alphabet[byte]) times[byte] = UINT64_MAX;
    if (times[byte]) kept.push_back(byte);
  }
  if (settings.limit_alphabet && kept.size() > *settings.limit_alphabet) {
    std::vector<Byte> by_count = kept;
    std::stable_sort(by_count.begin(), by_count.end(), [&](Byte a, Byte b) { return times[a] > times[b]; });
    by_count.resize(*settings.limit_alphabet);
    std::erase_if(kept, [&](Byte byte) { return std::find(by_count.begin(), by_count.end(), byte) == by_count.end(); });
  }
  return kept;
}

template <class Id>
class Learner {
 public:
  Learner(const TrainingSettings& settings, const WordCounts& words) : settings_(settings) {
    name_tokens(words);
    spell(words);
  }

  Learnt run(const std::function<void(std::size_t, std::size_t)>& progress) {
    const std::size_t first = learnt_.tokens.size();
    const std::size_t wanted = settings_.vocab_size > first ? settings_.vocab_size - first : 0;
    const auto least = static_cast<std::int64_t>(std::max<std::uint64_t>(settings_.min_frequency, 1));
    while (learnt_.tokens.size() < settings_.vocab_size) {
      const auto next = queue_.pop(least);
      if (!next) break;
      const std::int64_t count = pairs_[next->where->key()];
      if (count != next->count) {
        if (count > 0) queue_.push(count, next->where);
        continue;
      }
      if (learnt_.merges.size() % kReport == 0) progress(learnt_.tokens.size() - first, wanted);
      merge(*next->where);
    }
    progress(learnt_.tokens.size() - first, wanted);
    return std::move(learnt_);
  }

 private:
  static constexpr std::size_t kReport = 256;  // merges between two reports
  static constexpr std::uint32_t kNoWord = UINT32_MAX;

  // A word, or a piece of a long one: a visit then costs a piece, not a megabyte. Pieces of a word follow each other.
  struct Word {
    std::uint32_t start;  // in symbols_
    std::uint32_t size : 30, goes_on : 1, came_before : 1;
    std::int64_t times;
  };
  static constexpr std::size_t kPiece = 256;
  // What stands beside the pair being merged: how often, and in how many words.
  struct Neighbour {
    std::int64_t times = 0;
    std::uint32_t n_words = 0;
    std::uint32_t last_word = kNoWord;
    Occurrences* where = nullptr;
  };
  struct Seen {
    std::uint32_t id, word;
  };
  // The neighbours on one side of the pair being merged.
  struct Side {
    std::vector<Neighbour> by_id;
    std::vector<std::uint32_t> touched;
    std::vector<Seen> seen;
    void add(std::uint32_t id, std::uint32_t word, std::int64_t times) {
      Neighbour& neighbour = by_id[id];
      if (neighbour.last_word == kNoWord) touched.push_back(id);
      neighbour.times += times;
      if (neighbour.last_word == word) return;
      neighbour.last_word = word;
      ++neighbour.n_words;
      seen.push_back({id, word});
    }
    void clear() {
      for (const std::uint32_t id : touched) by_id[id] = {};
      touched.clear();
      seen.clear();
    }
  };

  void name_tokens(const WordCounts& words) {
    for (const auto& special : settings_.special_tokens) {
      if (special) id_of_.try_emplace(*special, static_cast<std::uint32_t>(learnt_.tokens.size()));
      learnt_.tokens.push_back(special.value_or(""));
      lengths_.push_back(0);
      for (Side* side : {&before_, &after_}) side->by_id.emplace_back();
    }
    id_of_byte_.fill(kNoWord);
    for (const Byte byte : alphabet(settings_, words)) id_of_byte_[byte] = token(std::string(1, byte));
    // A byte that was left out is still known if a special token is written like it.
    for (int byte = 0; byte < 256; ++byte) {
      const auto known = id_of_.find(std::string(1, static_cast<char>(byte)));
      if (known != id_of_.end()) id_of_byte_[byte] = known->second;
      if (id_of_byte_[byte] != kNoWord) lengths_[id_of_byte_[byte]] = 1;
    }
  }

  // The id of these bytes, a new one if need be.
  std::uint32_t token(const std::string& bytes) {
    const auto [known, is_new] = id_of_.try_emplace(bytes, static_cast<std::uint32_t>(learnt_.tokens.size()));
    if (is_new) {
      learnt_.tokens.push_back(bytes);
      lengths_.push_back(bytes.size());
      for (Side* side : {&before_, &after_}) side->by_id.emplace_back();
    }
    return known->second;
  }

  // Writes every word in ids, and counts and queues the pairs of bytes: by a table over all 65,536 of them.
  void spell(const WordCounts& words) {
    struct Pair {
      std::int64_t times = 0;
      std::uint32_t n_words = 0;
      std::uint32_t last_word = kNoWord;  // a word is listed once, however often it has the pair
      Occurrences* where = nullptr;
    };
    std::vector<Pair> pairs(1 << 16);
    std::vector<Byte> kept;  // every word's bytes that have an id, one after the other
    words_.reserve(words.size());
    words.each([&](const Byte* word, std::size_t size, std::uint64_t times) {
      const std::size_t start = kept.size(), first = words_.size();
      for (std::size_t i = 0; i < size; ++i) {
        if (id_of_byte_[word[i]] == kNoWord) continue;
        if (kept.size() > start) {
          const auto piece = static_cast<std::uint32_t>(first + (kept.size() - 1 - start) / kPiece);
          Pair& pair = pairs[kept.back() << 8 | word[i]];
          pair.times += static_cast<std::int64_t>(times);
          pair.n_words += std::exchange(pair.last_word, piece) != piece;
        }
        kept.push_back(word[i]);
      }
      add_pieces(start, kept.size(), static_cast<std::int64_t>(times));
    });
    for (int place = 0; place < 1 << 16; ++place) {
      Pair& pair = pairs[place];
      if (pair.n_words) pair.where = occurrences(id_of_byte_[place >> 8], id_of_byte_[place & 0xFF], pair.n_words);
    }
    for (std::uint32_t index = 0; index < words_.size(); ++index) {
      const Word& word = words_[index];
      const Byte* bytes = kept.data() + word.start;
      for (std::uint32_t i = 1; i < word.size + (word.goes_on ? 1u : 0u); ++i) {
        Occurrences& where = *pairs[bytes[i - 1] << 8 | bytes[i]].where;
        if (!where.n_words || where.last() != index) add_word(where, index);
      }
    }
    for (const Pair& pair : pairs) {
      if (!pair.n_words) continue;
      pairs_.make_room(1);
      pairs_[pair.where->key()] = pair.times;
      queue_.push(pair.times, pair.where);
    }
    symbols_.resize(kept.size());
    for (std::size_t i = 0; i < kept.size(); ++i) symbols_[i] = static_cast<Id>(id_of_byte_[kept[i]]);
  }

  void add_pieces(std::size_t start, std::size_t end, std::int64_t times) {
    if (end > UINT32_MAX || words_.size() + (end - start) / kPiece + 1 >= kNoWord) {
      throw std::length_error("the distinct words of the corpus hold more than 4 GiB");
    }
    for (std::size_t at = start; at < end; at += kPiece) {
      const std::size_t size = std::min(kPiece, end - at);
      words_.push_back({static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(size), at + size < end, at > start,
                        times});
    }
  }

  // Room for the words of a pair; add_word fills it.
  Occurrences* occurrences(std::uint32_t left, std::uint32_t right, std::size_t n_words) {
    auto* where = reinterpret_cast<Occurrences*>(arena_.take(kHeader + n_words));
    *where = {left, right, 0};
    return where;
  }
  static void add_word(Occurrences& where, std::uint32_t word) {
    where.words()[where.n_words++] = word;
  }

  void merge(const Occurrences& pair) {
    const std::uint32_t joined = token(learnt_.tokens[pair.left] + learnt_.tokens[pair.right]);
    lengths_[joined] = lengths_[pair.left] + lengths_[pair.right];
    learnt_.merges.push_back({pair.left, pair.right, joined});
    rewrite(pair, static_cast<Id>(joined));
    count_changes(pair, joined);
    queue_new_pairs(joined);
    before_.clear();
    after_.clear();
  }

  // Puts the joined token into every word that has the pair, the leftmost first; notes what stands beside it.
  void rewrite(const Occurrences& pair, Id joined) {
    const auto left = static_cast<Id>(pair.left), right = static_cast<Id>(pair.right);
    for (std::uint32_t place = 0; place < pair.n_words; ++place) {
      const std::uint32_t index = pair.words()[place];
      Word& word = words_[index];
      if (word.goes_on || word.came_before) {
        rewrite_piece(index, left, right, joined);
        continue;
      }
      Id* symbols = symbols_.data() + word.start;
      const std::uint32_t size = word.size;
      std::uint32_t out = 0;
      for (std::uint32_t i = 0; i < size; ++out) {
        if (symbols[i] != left || i + 1 == size || symbols[i + 1] != right) {
          symbols[out] = symbols[i++];
          continue;
        }
        if (out > 0) before_.add(symbols[out - 1], index, word.times);
        symbols[out] = joined;
        i += 2;
        if (i < size) after_.add(symbols[i], index, word.times);
      }
      word.size = out;
    }
  }

  // The same for a piece of a long word, whose neighbours may lie in other pieces. A pair that lies in two belongs to
  // the one where it begins.
  void rewrite_piece(std::uint32_t index, Id left, Id right, Id joined) {
    Word& word = words_[index];
    Id* symbols = symbols_.data() + word.start;
    std::uint32_t out = 0;
    for (std::uint32_t i = 0; i < word.size; ++out) {
      const std::uint32_t other = i + 1 < word.size ? index : piece_after(index);
      const Id* next = other == index ? symbols + i + 1 : first_of(other);
      if (symbols[i] != left || !next || *next != right) {
        symbols[out] = symbols[i++];
        continue;
      }
      const std::uint32_t earlier = out > 0 ? index : piece_before(index);
      if (earlier == index) {
        before_.add(symbols[out - 1], index, word.times);
      } else if (earlier != kNoWord) {
        before_.add(symbols_[words_[earlier].start + words_[earlier].size - 1], earlier, word.times);
      }
      symbols[out] = joined;
      i += other == index ? 2 : 1;
      if (other != index) {
        ++words_[other].start;
        --words_[other].size;
      }
      const Id* after = i < word.size ? symbols + i : first_of(piece_after(index));
      if (after) after_.add(*after, index, word.times);
    }
    word.size = out;
  }

  // The nearest piece of the same word that is not used up, or kNoWord.
  std::uint32_t piece_after(std::uint32_t index) const {
    while (words_[index].goes_on) {
      if (words_[++index].size) return index;
    }
    return kNoWord;
  }
  std::uint32_t piece_before(std::uint32_t index) const {
    while (words_[index].came_before) {
      if (words_[--index].size) return index;
    }
    return kNoWord;
  }
  const Id* first_of(std::uint32_t index) const {
    return index == kNoWord ? nullptr : symbols_.data() + words_[index].start;
  }

  // As the library counts: the merged pair itself keeps its count, its neighbours change theirs.
  void count_changes(const Occurrences& pair, std::uint32_t joined) {
    pairs_.make_room(2 * (before_.touched.size() + after_.touched.size()));
    for (const std::uint32_t id : before_.touched) {
      const std::int64_t times = before_.by_id[id].times;
      pairs_[PairCounts::key(id, pair.left)] -= times;
      if (fits(id, joined)) pairs_[PairCounts::key(id, joined)] += times;
    }
    for (const std::uint32_t id : after_.touched) {
      const std::int64_t times = after_.by_id[id].times;
      pairs_[PairCounts::key(pair.right, id)] -= times;
      if (fits(joined, id)) pairs_[PairCounts::key(joined, id)] += times;
    }
  }

  bool fits(std::uint32_t left, std::uint32_t right) const {
    return lengths_[left] + lengths_[right] < settings_.max_token_length;
  }

  void queue_new_pairs(std::uint32_t joined) {
    for (const std::uint32_t id : before_.touched) {
      before_.by_id[id].where = occurrences(id, joined, before_.by_id[id].n_words);
    }
    for (const std::uint32_t id : after_.touched) {
      after_.by_id[id].where = occurrences(joined, id, after_.by_id[id].n_words);
    }
    for (Side* side : {&before_, &after_}) {
      for (const Seen& seen : side->seen) add_word(*side->by_id[seen.id].where, seen.word);
      for (const std::uint32_t id : side->touched) {
        Occurrences* where = side->by_id[id].where;
        const std::int64_t count = fits(where->left, where->right) ? pairs_[where->key()] : 0;
        if (count > 0) queue_.push(count, where);
      }
    }
  }

  const TrainingSettings& settings_;
  Learnt learnt_;
  std::unordered_map<std::string, std::uint32_t> id_of_;
  std::array<std::uint32_t, 256> id_of_byte_;
  std::vector<std::size_t> lengths_;  // of each token, in bytes
  std::vector<Word> words_;
  std::vector<Id> symbols_;
  PairCounts pairs_;
  Queue queue_;
  Arena arena_;
  Side before_, after_;
};

}  // namespace

Learnt learn_merges(const TrainingSettings& settings, const WordCounts& words,
                    const std::function<void(std::size_t, std::size_t)>& progress) {
  // Most vocabularies fit 16 bits; the words then take half the memory and half the cache.
  if (std::max(settings.vocab_size, settings.special_tokens.size() + 256) < 65'536) {
    return Learner<std::uint16_t>(settings, words).run(progress);
  }
  return Learner<std::uint32_t>(settings, words).run(progress);
}

}  // namespace jarvis::bpe

// The first step of training: how often each word occurs, counted by several threads.
#include "bpe_train.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>

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
    others.reserve(threads);
    try {
      for (std::size_t i = 1; i < threads; ++i) others.emplace_back([&, i] { work(tables[i], false); });
    } catch (const std::system_error&) {
      // No more threads are to be had: those that are there do all the work.
    }
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

}  // namespace jarvis::bpe

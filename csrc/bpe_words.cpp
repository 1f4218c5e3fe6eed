// Words to ids: a window of text at a time, its words by a scanner, their ids from the cache or by merging.
#include "bpe_words.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "cpu_choice.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace jarvis::bpe {

namespace {

constexpr std::size_t kKeptBuffer = 1 << 20;  // bytes
constexpr std::size_t kHugePage = 2 << 20;

// A window stays in the first two levels of cache, its word starts too.
constexpr std::size_t kWindow = 16 << 10;
// A word that begins this far from a window's end was cut as in the whole text: no pattern looks further ahead, but for
// white space that touches the end.
constexpr std::size_t kLookAhead = 24;

std::uint64_t mix(std::uint64_t value) {
  value *= 0x9E3779B97F4A7C15u;
  return value ^ value >> 32;
}

std::uint64_t hash_of(const Byte* word, std::size_t size) {
  std::uint64_t hash = size, part;
  for (; size > 8; word += 8, size -= 8) {
    std::memcpy(&part, word, 8);
    hash = mix(hash ^ part);
  }
  part = 0;
  std::memcpy(&part, word, size);
  return mix(hash ^ part) * 0xD6E8FEB86659FD93u;
}

}  // namespace

template <class Id>
void Entry<Id>::pack(const Id* ids, std::size_t count) {
  if constexpr (kWide) {
    for (std::size_t i = 0; i < std::min(count, kMostIds); ++i) {
      for (int byte = 0; byte < 3; ++byte) packed[3 * i + byte] = static_cast<Byte>(ids[i] >> 8 * byte);
    }
    packed[15] = static_cast<Byte>(count);
  } else {
    std::memcpy(packed, ids, count * sizeof(Id));
    const auto small = static_cast<std::uint16_t>(count);
    std::memcpy(packed + 14, &small, 2);
  }
}

template <class Id>
Id* Entry<Id>::unpack(Id* out) const {
  if constexpr (kWide) {
    for (std::size_t i = 0; i < kMostIds; ++i) {
      out[i] = packed[3 * i] | packed[3 * i + 1] << 8 | packed[3 * i + 2] << 16;
    }
    return out + packed[15];
  } else {
    std::memcpy(out, packed, 14);
    std::uint16_t count;
    std::memcpy(&count, packed + 14, 2);
    return out + count;
  }
}

template <class Id>
WordCache<Id>::WordCache() {
  constexpr std::size_t kSets = (std::size_t{2} << kSetBits) * sizeof(Entry<Id>);
  constexpr std::size_t kLong = (std::size_t{1} << kLongBits) * sizeof(LongEntry<Id>);
  mapped_ = kSets + kLong + kHugePage;
#if defined(__linux__)
  // Zeroed pages that cost nothing until a word falls on them; large ones, for the sets are met in no order.
  memory_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory_ == MAP_FAILED) throw std::bad_alloc();
  const auto place = (reinterpret_cast<std::uintptr_t>(memory_) + kHugePage - 1) & ~(kHugePage - 1);
  madvise(reinterpret_cast<void*>(place), kSets, MADV_HUGEPAGE);
#else
  memory_ = std::calloc(1, mapped_);
  if (!memory_) throw std::bad_alloc();
  const auto place = (reinterpret_cast<std::uintptr_t>(memory_) + 63) & ~std::uintptr_t{63};
#endif
  sets_ = reinterpret_cast<Entry<Id>*>(place);
  long_ = reinterpret_cast<LongEntry<Id>*>(place + kSets);
}

template <class Id>
WordCache<Id>::~WordCache() {
#if defined(__linux__)
  munmap(memory_, mapped_);
#else
  std::free(memory_);
#endif
}

template <class Id>
Byte* Workspace<Id>::at_least(std::size_t size) {
  if (size > buffer_size) {
    buffer = std::make_unique_for_overwrite<Byte[]>(size);
    buffer_size = size;
  }
  return buffer.get();
}

template <class Id>
void Workspace<Id>::shrink() {
  if (buffer_size > kKeptBuffer) {
    buffer.reset();
    buffer_size = 0;
  }
  if (starts.capacity() > kKeptBuffer / 4) std::vector<std::uint32_t>().swap(starts);
  if (ids.capacity() > kKeptBuffer / sizeof(Id)) std::vector<Id>().swap(ids);
  if (tail.capacity() > kKeptBuffer) std::vector<Byte>().swap(tail);
  normalized.shrink();
  cut.shrink();
  scratch.shrink();
}

namespace {

template <class Id>
Id* long_word(const Byte* word, std::size_t size, const Merger& merger, Id* out, Workspace<Id>& workspace) {
  using Long = LongEntry<Id>;
  if (size > Long::kMostBytes) return merger.merge(word, size, out, workspace.scratch);
  const std::uint64_t hash = hash_of(word, size);
  Long& entry = workspace.cache.long_entry(hash);
  if (entry.hash == hash && entry.size == size && std::memcmp(entry.word, word, size) == 0) {
    return std::copy_n(entry.ids, entry.count, out);
  }
  Id* const after = merger.merge(word, size, out, workspace.scratch);
  const auto count = static_cast<std::size_t>(after - out);
  if (count <= Long::kMostIds) {
    entry.hash = hash;
    entry.size = static_cast<std::uint16_t>(size);
    entry.count = static_cast<std::uint16_t>(count);
    std::copy_n(out, count, entry.ids);
    std::memcpy(entry.word, word, size);
  }
  return after;
}

}  // namespace

template <class Id>
Id* missed_word(const Byte* word, std::size_t size, const Key& key, Entry<Id>* set, const Merger& merger, Id* out,
                Workspace<Id>& workspace) {
  if (size > kLongestKey) return long_word(word, size, merger, out, workspace);
  // Where a set is full, the word may be in another one, which this path alone looks at.
  const bool full = set[1].key.high != 0;
  Entry<Id>* place = full ? workspace.cache.other(set, key) : set;
  if (full) {
    if (place[0].key == key) return place[0].unpack(out);
    if (place[1].key == key) return place[1].unpack(out);
    if (place[1].key.high != 0) place = set;
  }
  Id* const after = merger.merge(word, size, out, workspace.scratch);
  const auto count = static_cast<std::size_t>(after - out);
  if (count <= Entry<Id>::kMostIds) {
    place[1] = place[0];
    place->key = key;
    place->pack(out, count);
  }
  return after;
}

namespace portable {

// avx2::emit_words for any processor.
template <class Id>
Id* emit_words(const Byte* text, const std::uint32_t* starts, std::size_t count, const Merger& merger, Id* out,
               Workspace<Id>& workspace) {
  Entry<Id>* const sets = workspace.cache.sets();
  for (std::size_t i = 0; i < count; ++i) {
    const Byte* word = text + starts[i];
    const std::size_t size = starts[i + 1] - starts[i];
    Byte bytes[16] = {};
    std::memcpy(bytes, word, std::min<std::size_t>(size, 16));
    bytes[15] = static_cast<Byte>(std::min<std::size_t>(size, 16));  // no entry has the length 16
    Key key;
    std::memcpy(&key, bytes, 16);
    const std::size_t set = mix(mix(key.low) ^ key.high) >> (64 - WordCache<Id>::kSetBits);
    Entry<Id>* entry = sets + 2 * set;
    if (entry[1].key == key) std::swap(entry[0], entry[1]);
    out = entry->key == key ? entry->unpack(out) : missed_word(word, size, key, entry, merger, out, workspace);
  }
  return out;
}

}  // namespace portable

namespace {

template <class Id>
EmitWords<Id> emit_words() {
#ifdef JARVIS_AVX2_BEGIN
  if (use_avx2()) return avx2::emit_words<Id>;
#endif
  return portable::emit_words<Id>;
}

bool white_space(const Byte* at) {
  const int width = *at < 0x80 ? 1 : *at < 0xE0 ? 2 : *at < 0xF0 ? 3 : 4;
  std::uint32_t code = *at;
  if (width == 2) code = (at[0] & 0x1Fu) << 6 | (at[1] & 0x3Fu);
  if (width == 3) code = (at[0] & 0x0Fu) << 12 | (at[1] & 0x3Fu) << 6 | (at[2] & 0x3Fu);
  return width < 4 && class_table().of(code) & kSpace;
}

// To o200k a word may reach as far as capitals do, letters without case and marks among them: up to where is known.
std::size_t known_size(Pattern pattern, const Byte* text, std::size_t size) {
  if (pattern != Pattern::o200k && pattern != Pattern::tekken) return size;
  while (size > 0 && (text[size - 1] >= 0x80 || static_cast<Byte>(text[size - 1] - 'A') < 26)) --size;
  return size;
}

// How many of a window's words stand whatever follows the window: those before the last beginning that is neither near
// the end nor in white space.
std::size_t sure_words(const Byte* text, std::size_t size, const std::uint32_t* starts, std::size_t words) {
  for (; words > 0; --words) {
    const std::uint32_t start = starts[words];
    if (start + kLookAhead <= size && !white_space(text + start)) return words;
    if (start + kLookAhead <= size && text[start] == ' ' && !white_space(text + start + 1)) return words;
  }
  return 0;
}

}  // namespace

template <class Id>
std::pair<const Byte*, Id*> encode_words(Pattern pattern, const Merger& merger, const Byte* at, const Byte* end,
                                         bool whole, bool padded, Id* out, Workspace<Id>& workspace) {
  static const EmitWords<Id> emit = emit_words<Id>();
  const WordStarts scan = word_starts(pattern);
  std::size_t window = kWindow;
  while (at < end) {
    const auto left = static_cast<std::size_t>(end - at);
    const bool last = left <= window + kPadding;
    std::size_t size = last ? left : window;
    while (!last && (at[size] & 0xC0) == 0x80) --size;
    const Byte* text = at;
    if (last && !padded) {
      workspace.tail.assign(at, end);
      workspace.tail.resize(size + kPadding);
      text = workspace.tail.data();
    }
    if (workspace.starts.size() < size + 72) workspace.starts.resize(size + 72);
    std::uint32_t* starts = workspace.starts.data();
    std::size_t words = scan(text, size, starts);
    if (!last || !whole) {
      words = sure_words(text, known_size(pattern, text, size), starts, words);
      if (words == 0) {  // one word, or white space, larger than the window
        if (last) break;
        if (window > std::size_t{1} << 30) throw std::invalid_argument("one word of more than 1 GiB without a break");
        window *= 2;
        continue;
      }
    }
    out = emit(text, starts, words, merger, out, workspace);
    at += starts[words];
    window = kWindow;
  }
  return {at, out};
}

template <class Id>
Id* encode_cut_words(const Byte* text, const std::uint32_t* starts, std::size_t count, const Merger& merger, Id* out,
                     Workspace<Id>& workspace) {
  static const EmitWords<Id> emit = emit_words<Id>();
  return emit(text, starts, count, merger, out, workspace);
}

template struct Entry<std::uint16_t>;
template struct Entry<std::uint32_t>;
template class WordCache<std::uint16_t>;
template class WordCache<std::uint32_t>;
template struct Workspace<std::uint16_t>;
template struct Workspace<std::uint32_t>;
#define JARVIS_WORDS_OF(Id)                                                                                         \
  template Id* missed_word(const Byte*, std::size_t, const Key&, Entry<Id>*, const Merger&, Id*, Workspace<Id>&); \
  template Id* encode_cut_words(const Byte*, const std::uint32_t*, std::size_t, const Merger&, Id*, Workspace<Id>&); \
  template std::pair<const Byte*, Id*> encode_words(Pattern, const Merger&, const Byte*, const Byte*, bool, bool, Id*, \
                                                    Workspace<Id>&);
JARVIS_WORDS_OF(std::uint16_t)
JARVIS_WORDS_OF(std::uint32_t)
#undef JARVIS_WORDS_OF

}  // namespace jarvis::bpe

// Words to ids: the scanner's words, each from the cache or merged.
#include "bpe_words.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace jarvis::bpe {

namespace {

constexpr std::size_t kKeptBuffer = 1 << 20;  // bytes

// The bytes of a word of at most 15, zero-padded, with the length in the last: never all zero, so no empty entry fits.
template <class Key>
Key key_of(const Byte* word, std::size_t size, const Byte* end) {
  alignas(16) Byte bytes[16];
  if (end - word >= 16) {
    static constexpr std::uint64_t kMask[9] = {0,          0xFF,         0xFFFF,         0xFFFFFF,        0xFFFFFFFF,
                                               0xFFFFFFFFFF, 0xFFFFFFFFFFFF, 0xFFFFFFFFFFFFFF, ~std::uint64_t{0}};
    Key key;
    std::memcpy(&key, word, 16);
    key.low &= kMask[std::min<std::size_t>(size, 8)];
    key.high &= kMask[size > 8 ? size - 8 : 0];
    key.high |= std::uint64_t{size} << 56;
    return key;
  }
  std::memset(bytes, 0, 16);
  std::memcpy(bytes, word, size);
  bytes[15] = static_cast<Byte>(size);
  Key key;
  std::memcpy(&key, bytes, 16);
  return key;
}

}  // namespace

template <class Id>
WordCache<Id>::WordCache() {
  // calloc: pages that no word falls on are never touched, so that a small text costs little.
  entries_.reset(static_cast<Entry*>(std::calloc(std::size_t{2} << kBits, sizeof(Entry))));
  if (!entries_) throw std::bad_alloc();
}

template <class Id>
void WordCache<Id>::Free::operator()(Entry* entries) const {
  std::free(entries);
}

template <class Id>
void WordCache<Id>::insert(const Key& key, const Id* ids, std::size_t count) {
  if (count > kMostIds) return;
  Entry* set = entries_.get() + 2 * index(key);
  set[1] = set[0];
  set[0].key = key;
  std::copy(ids, ids + count, set[0].ids);
  set[0].count = static_cast<Id>(count);
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
  scratch.shrink();
}

namespace {

template <class Id>
Id* encode_word(const Merger& merger, const Byte* word, const Byte* word_end, const Byte* end, Id* out,
                Workspace<Id>& workspace) {
  using Cache = WordCache<Id>;
  const std::size_t size = word_end - word;
  if (size > Cache::kLongestWord) return merger.merge(word, size, out, workspace.scratch);
  const auto key = key_of<typename Cache::Key>(word, size, end);
  if (const auto* entry = workspace.cache.find(key)) {
    std::memcpy(out, entry->ids, sizeof entry->ids);  // all seven: one store, and kSlack leaves the room
    return out + entry->count;
  }
  Id* after = merger.merge(word, size, out, workspace.scratch);
  workspace.cache.insert(key, out, after - out);
  return after;
}

template <class Id, Pattern kPattern>
Id* encode_pattern(const Merger& merger, const Byte* at, const Byte* end, Id* out, Workspace<Id>& workspace) {
  const Scanner<kPattern> scanner(end);
  while (at < end) {
    const Byte* word_end = scanner.next(at);
    out = encode_word(merger, at, word_end, end, out, workspace);
    at = word_end;
  }
  return out;
}

}  // namespace

template <class Id>
Id* encode_words(Pattern pattern, const Merger& merger, const Byte* at, const Byte* end, Id* out,
                 Workspace<Id>& workspace) {
  switch (pattern) {
    case Pattern::french: return encode_pattern<Id, Pattern::french>(merger, at, end, out, workspace);
    case Pattern::gpt2: return encode_pattern<Id, Pattern::gpt2>(merger, at, end, out, workspace);
    case Pattern::llama3: return encode_pattern<Id, Pattern::llama3>(merger, at, end, out, workspace);
    case Pattern::qwen2: return encode_pattern<Id, Pattern::qwen2>(merger, at, end, out, workspace);
    case Pattern::bloom: return encode_pattern<Id, Pattern::bloom>(merger, at, end, out, workspace);
  }
  return out;
}

template class WordCache<std::uint16_t>;
template class WordCache<std::uint32_t>;
template struct Workspace<std::uint16_t>;
template struct Workspace<std::uint32_t>;
template std::uint16_t* encode_words(Pattern, const Merger&, const Byte*, const Byte*, std::uint16_t*,
                                     Workspace<std::uint16_t>&);
template std::uint32_t* encode_words(Pattern, const Merger&, const Byte*, const Byte*, std::uint32_t*,
                                     Workspace<std::uint32_t>&);

}  // namespace jarvis::bpe

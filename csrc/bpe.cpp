// The encoder: added tokens, then words (bpe_scan.cpp), then a cache of words, then merges by rank.
#include "bpe.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

#include "bpe_scan.h"

namespace jarvis::bpe {

namespace {

// Up to this many bytes a word is merged by looking through all its pairs each time; past it the quadratic cost shows
// and a heap takes over.
constexpr std::size_t kShortWord = 40;

constexpr std::size_t kKeptScratch = 1 << 20;

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

MergeTable::MergeTable(const std::vector<std::uint32_t>& merges) {
  const std::size_t count = merges.size() / 3;
  int bits = 4;
  while ((std::size_t{1} << bits) < 2 * count + 2) ++bits;
  slots_.resize(std::size_t{1} << bits);
  mask_ = slots_.size() - 1;
  shift_ = 64 - bits;
  for (std::size_t rank = 0; rank < count; ++rank) {
    const std::uint64_t key = std::uint64_t{merges[3 * rank]} << 32 | merges[3 * rank + 1];
    std::size_t slot = hash(key);
    while (slots_[slot].merge.rank != kNone && slots_[slot].key != key) slot = (slot + 1) & mask_;
    slots_[slot] = {key, {static_cast<std::uint32_t>(rank), merges[3 * rank + 2]}};  // a repeated merge: the last rank
  }
}

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
  if (buffer_size > kKeptScratch) {
    buffer.reset();
    buffer_size = 0;
  }
  if (ids.capacity() <= kKeptScratch / sizeof(std::uint32_t)) return;
  for (auto* scratch : {&ids, &ranks, &joined, &next, &previous}) std::vector<std::uint32_t>().swap(*scratch);
  std::vector<std::uint64_t>().swap(heap);
}

Encoder::Encoder(Model model)
    : merges_(model.merges),
      pattern_(model.pattern),
      words_(std::move(model.words)),
      tokens_(std::move(model.tokens)),
      is_special_(tokens_.size()) {
  if (model.base.size() != 256) throw std::invalid_argument("expected one id for each of the 256 bytes");
  std::copy(model.base.begin(), model.base.end(), base_);
  for (const std::vector<std::uint32_t>* ids : {&model.base, &model.merges}) {
    std::size_t place = 0;
    for (std::uint32_t id : *ids) {
      if (id >= tokens_.size()) {
        throw std::invalid_argument("id " + std::to_string(id) + " at place " + std::to_string(place) + " of " +
                                    std::to_string(tokens_.size()));
      }
      ++place;
    }
  }
  for (AddedToken& token : model.added) {
    if (token.content.empty() || token.id >= tokens_.size()) throw std::invalid_argument("added token out of range");
    is_special_[token.id] = is_special_[token.id] || token.special;
    has_plain_added_ = has_plain_added_ || !token.special;
    added_[token.normalized].push_back(std::move(token));
  }
  for (int pass = 0; pass < 2; ++pass) {
    std::stable_sort(added_[pass].begin(), added_[pass].end(), [](const AddedToken& left, const AddedToken& right) {
      return left.content.size() > right.content.size();
    });
    for (std::size_t place = 0; place < added_[pass].size(); ++place) {
      starts_[pass][static_cast<Byte>(added_[pass][place].content[0])].push_back(static_cast<std::uint32_t>(place));
    }
  }
}

template <class Id>
Id* Encoder::encode(const Byte* text, std::size_t size, bool special, Id* out, Workspace<Id>& workspace) const {
  if (special || has_plain_added_) return encode_around(0, text, text + size, special, out, workspace);
  return encode_plain(text, text + size, out, workspace);
}

// The longest added token that begins here, among those of this pass.
const AddedToken* Encoder::added_at(int pass, const Byte* at, const Byte* end) const {
  for (std::uint32_t place : starts_[pass][*at]) {
    const std::string& content = added_[pass][place].content;
    if (content.size() <= static_cast<std::size_t>(end - at) && std::memcmp(at, content.data(), content.size()) == 0) {
      return &added_[pass][place];
    }
  }
  return nullptr;
}

// Cuts the added tokens of this pass out of the text; what lies between goes to the next pass, then to the words.
template <class Id>
Id* Encoder::encode_around(int pass, const Byte* at, const Byte* end, bool special, Id* out,
                           Workspace<Id>& workspace) const {
  if (pass == 2) return encode_plain(at, end, out, workspace);
  const Byte* done = at;
  while (at < end) {
    const AddedToken* token = added_at(pass, at, end);
    if (!token) {
      ++at;
      continue;
    }
    const Byte* start = at;
    at += token->content.size();
    if (token->special && !special) continue;  // plain text, and nothing is looked for inside it: as the library does
    if (token->lstrip) start = spaces_before(done, start);
    if (done < start) out = encode_around(pass + 1, done, start, special, out, workspace);
    *out++ = static_cast<Id>(token->id);
    if (token->rstrip) at = spaces_after(at, end);
    done = at;
  }
  return done < end ? encode_around(pass + 1, done, end, special, out, workspace) : out;
}

template <class Id>
Id* Encoder::encode_plain(const Byte* at, const Byte* end, Id* out, Workspace<Id>& workspace) const {
  switch (pattern_) {
    case Pattern::french: return encode_words<Id, Pattern::french>(at, end, out, workspace);
    case Pattern::gpt2: return encode_words<Id, Pattern::gpt2>(at, end, out, workspace);
    case Pattern::llama3: return encode_words<Id, Pattern::llama3>(at, end, out, workspace);
    case Pattern::qwen2: return encode_words<Id, Pattern::qwen2>(at, end, out, workspace);
    case Pattern::bloom: return encode_words<Id, Pattern::bloom>(at, end, out, workspace);
  }
  return out;
}

template <class Id, Pattern kPattern>
Id* Encoder::encode_words(const Byte* at, const Byte* end, Id* out, Workspace<Id>& workspace) const {
  const Scanner<kPattern> scanner(end);
  while (at < end) {
    const Byte* word_end = scanner.next(at);
    out = encode_word(at, word_end, end, out, workspace);
    at = word_end;
  }
  return out;
}

template <class Id>
Id* Encoder::encode_word(const Byte* word, const Byte* word_end, const Byte* end, Id* out,
                         Workspace<Id>& workspace) const {
  using Cache = WordCache<Id>;
  const std::size_t size = word_end - word;
  if (size > Cache::kLongestWord) return merge_word(word, size, out, workspace);
  const auto key = key_of<typename Cache::Key>(word, size, end);
  if (const auto* entry = workspace.cache.find(key)) {
    std::memcpy(out, entry->ids, sizeof entry->ids);  // all seven: one store, and kSlack leaves the room
    return out + entry->count;
  }
  Id* after = merge_word(word, size, out, workspace);
  workspace.cache.insert(key, out, after - out);
  return after;
}

template <class Id>
Id* Encoder::merge_word(const Byte* word, std::size_t size, Id* out, Workspace<Id>& workspace) const {
  if (!words_.empty()) {
    const auto whole = words_.find(std::string(reinterpret_cast<const char*>(word), size));
    if (whole != words_.end()) {
      *out = static_cast<Id>(whole->second);
      return out + 1;
    }
  }
  return size <= kShortWord ? merge_short(word, size, out) : merge_long(word, size, out, workspace);
}

// Again and again the pair of lowest rank, the leftmost of equals, until no pair has a rank.
template <class Id>
Id* Encoder::merge_short(const Byte* word, std::size_t size, Id* out) const {
  std::uint32_t ids[kShortWord];
  MergeTable::Merge pairs[kShortWord];  // pairs[i] joins ids[i] and ids[i + 1]
  for (std::size_t i = 0; i < size; ++i) ids[i] = base_[word[i]];
  for (std::size_t i = 0; i + 1 < size; ++i) pairs[i] = merges_.find(ids[i], ids[i + 1]);
  while (size > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < size; ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    if (pairs[best].rank == MergeTable::kNone) break;
    ids[best] = pairs[best].joined;
    --size;
    for (std::size_t i = best + 1; i < size; ++i) ids[i] = ids[i + 1];
    for (std::size_t i = best + 1; i + 1 < size; ++i) pairs[i] = pairs[i + 1];
    if (best + 1 < size) pairs[best] = merges_.find(ids[best], ids[best + 1]);
    if (best > 0) pairs[best - 1] = merges_.find(ids[best - 1], ids[best]);
  }
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<Id>(ids[i]);
  return out + size;
}

// The same in n log n: a heap of (rank, place) over a linked list. An entry whose pair has changed since is passed over.
template <class Id>
Id* Encoder::merge_long(const Byte* word, std::size_t size, Id* out, Workspace<Id>& workspace) const {
  constexpr std::uint32_t kNone = MergeTable::kNone;
  if (size >= kNone) throw std::invalid_argument("one word of more than 4 GiB without a break");
  auto& [cache, ids, ranks, joined, next, previous, heap, buffer, buffer_size] = workspace;
  const auto count = static_cast<std::uint32_t>(size);
  for (auto* list : {&ids, &ranks, &joined, &next, &previous}) list->resize(count);
  heap.clear();
  const auto later = [](std::uint64_t left, std::uint64_t right) { return left > right; };
  const auto pair_up = [&](std::uint32_t i) {
    const MergeTable::Merge merge =
        next[i] == count ? MergeTable::Merge{kNone, kNone} : merges_.find(ids[i], ids[next[i]]);
    ranks[i] = merge.rank;
    joined[i] = merge.joined;
    return merge.rank != kNone;
  };
  for (std::uint32_t i = 0; i < count; ++i) {
    ids[i] = base_[word[i]];
    next[i] = i + 1;
    previous[i] = i - 1;  // of the first: kNone
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    if (pair_up(i)) heap.push_back(std::uint64_t{ranks[i]} << 32 | i);
  }
  std::make_heap(heap.begin(), heap.end(), later);
  const auto renew = [&](std::uint32_t i) {
    if (!pair_up(i)) return;
    heap.push_back(std::uint64_t{ranks[i]} << 32 | i);
    std::push_heap(heap.begin(), heap.end(), later);
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    const auto rank = static_cast<std::uint32_t>(heap.back() >> 32);
    const auto i = static_cast<std::uint32_t>(heap.back());
    heap.pop_back();
    if (ranks[i] != rank) continue;
    const std::uint32_t gone = next[i];
    ids[i] = joined[i];
    next[i] = next[gone];
    ranks[gone] = kNone;
    if (next[i] != count) previous[next[i]] = i;
    renew(i);
    if (previous[i] != kNone) renew(previous[i]);
  }
  for (std::uint32_t i = 0; i < count; i = next[i]) *out++ = static_cast<Id>(ids[i]);
  return out;
}

std::size_t Encoder::decoded_size(const std::uint32_t* ids, std::size_t count, bool special) const {
  std::size_t size = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (special || !is_special_[ids[i]]) size += tokens_[ids[i]].size();
  }
  return size;
}

void Encoder::decode(const std::uint32_t* ids, std::size_t count, bool special, char* out) const {
  for (std::size_t i = 0; i < count; ++i) {
    if (!special && is_special_[ids[i]]) continue;
    const std::string& token = tokens_[ids[i]];
    std::memcpy(out, token.data(), token.size());
    out += token.size();
  }
}

template class WordCache<std::uint16_t>;
template class WordCache<std::uint32_t>;
template struct Workspace<std::uint16_t>;
template struct Workspace<std::uint32_t>;
template std::uint16_t* Encoder::encode(const Byte*, std::size_t, bool, std::uint16_t*, Workspace<std::uint16_t>&) const;
template std::uint32_t* Encoder::encode(const Byte*, std::size_t, bool, std::uint32_t*, Workspace<std::uint32_t>&) const;

}  // namespace jarvis::bpe

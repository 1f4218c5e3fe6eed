// Merging one word: short ones by looking through their pairs, long ones with a heap.
#include "bpe_merge.h"

#include <algorithm>
#include <stdexcept>

namespace jarvis::bpe {

namespace {

// Up to this many bytes a word is merged by looking through all its pairs each time; past it the quadratic cost shows
// and a heap takes over.
constexpr std::size_t kShortWord = 40;

constexpr std::size_t kKeptScratch = 1 << 18;  // entries

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

void MergeScratch::shrink() {
  if (ids.capacity() <= kKeptScratch) return;
  for (auto* list : {&ids, &ranks, &joined, &next, &previous}) std::vector<std::uint32_t>().swap(*list);
  std::vector<std::uint64_t>().swap(heap);
}

Merger::Merger(const std::vector<std::uint32_t>& base, const std::vector<std::uint32_t>& merges,
               std::unordered_map<std::string, std::uint32_t> words, std::size_t limit)
    : merges_(merges), words_(std::move(words)) {
  if (base.size() != 256) throw std::invalid_argument("expected one id for each of the 256 bytes");
  std::copy(base.begin(), base.end(), base_);
  for (const std::vector<std::uint32_t>* ids : {&base, &merges}) {
    std::size_t place = 0;
    for (std::uint32_t id : *ids) {
      if (id >= limit) {
        throw std::invalid_argument("id " + std::to_string(id) + " at place " + std::to_string(place) + " of " +
                                    std::to_string(limit));
      }
      ++place;
    }
  }
}

template <class Id>
Id* Merger::merge(const Byte* word, std::size_t size, Id* out, MergeScratch& scratch) const {
  if (!words_.empty()) {
    const auto whole = words_.find(std::string(reinterpret_cast<const char*>(word), size));
    if (whole != words_.end()) {
      *out = static_cast<Id>(whole->second);
      return out + 1;
    }
  }
  return size <= kShortWord ? merge_short(word, size, out) : merge_long(word, size, out, scratch);
}

// Again and again the pair of lowest rank, the leftmost of equals, until no pair has a rank.
template <class Id>
Id* Merger::merge_short(const Byte* word, std::size_t size, Id* out) const {
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
Id* Merger::merge_long(const Byte* word, std::size_t size, Id* out, MergeScratch& scratch) const {
  constexpr std::uint32_t kNone = MergeTable::kNone;
  if (size >= kNone) throw std::invalid_argument("one word of more than 4 GiB without a break");
  auto& [ids, ranks, joined, next, previous, heap] = scratch;
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

template std::uint16_t* Merger::merge(const Byte*, std::size_t, std::uint16_t*, MergeScratch&) const;
template std::uint32_t* Merger::merge(const Byte*, std::size_t, std::uint32_t*, MergeScratch&) const;

}  // namespace jarvis::bpe

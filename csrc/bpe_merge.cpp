// Merging one word: short ones by looking through their pairs, long ones with a heap.
#include "bpe_merge.h"

#include <algorithm>
#include <stdexcept>

#include "cpu_choice.h"

namespace jarvis::bpe {

namespace {

// Up to this many bytes a word is merged by looking through all its pairs each time; past it the quadratic cost shows
// and a heap takes over.
constexpr std::size_t kShortWord = 40;

constexpr std::size_t kKeptScratch = 1 << 18;  // entries

}  // namespace

template <class Id>
MergeTable<Id>::MergeTable(const std::vector<std::uint32_t>& merges) {
  const std::size_t count = merges.size() / 3;
  if (count >= kNone) throw std::invalid_argument(std::to_string(count) + " merges; expected fewer than " + std::to_string(kNone));
  int bits = 1;
  while ((std::size_t{kPairs} << bits) < 2 * count) ++bits;  // a line is a quarter to half full: few overflow
  lines_.resize(std::size_t{1} << bits);
  shift_ = 64 - bits;
  for (std::size_t rank = 0; rank < count; ++rank) {
    const Pair pair = static_cast<Pair>(merges[3 * rank]) << 8 * sizeof(Id) | merges[3 * rank + 1];
    joined_.push_back(static_cast<Id>(merges[3 * rank + 2]));
    for (std::size_t at = hash(pair) >> shift_;; at = (at + 1) & (lines_.size() - 1)) {
      Line& line = lines_[at];
      int place = place_in(line, pair);
      if (place == kPairs) place = place_in(line, kEmpty);
      if (place == kPairs) {
        line.overflows = 1;
        continue;
      }
      line.pair[place] = pair;
      line.rank[place] = static_cast<Id>(rank);  // a repeated merge: the last rank
      break;
    }
  }
}

void MergeScratch::shrink() {
  if (ids.capacity() <= kKeptScratch) return;
  for (auto* list : {&ids, &ranks, &next, &previous}) std::vector<std::uint32_t>().swap(*list);
  std::vector<std::uint64_t>().swap(heap);
}

Merger::Merger(const std::vector<std::uint32_t>& base, const std::vector<std::uint32_t>& merges,
               std::unordered_map<std::string, std::uint32_t> words, std::size_t limit)
    : words_(std::move(words)) {
  if (limit <= 65'536) {
    narrow_ = std::make_unique<MergeTable<std::uint16_t>>(merges);
  } else {
    wide_ = std::make_unique<MergeTable<std::uint32_t>>(merges);
  }
#ifdef JARVIS_AVX2_BEGIN
  if (narrow_ && use_avx2()) small_ = narrow_->narrow(base_);
#endif
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
#ifdef JARVIS_AVX2_BEGIN
  if constexpr (sizeof(Id) == 2) {
    if (small_.lines && size - 2 <= 14) return avx2::merge_small(small_, word, size, out);
  }
#endif
  return size <= kShortWord ? merge_short(word, size, out) : merge_long(word, size, out, scratch);
}

// Again and again the pair of lowest rank, the leftmost of equals, until no pair has a rank. A merged unit leaves a hole
// behind; place 0 and the place after the last hold ids that merge with nothing.
template <class Id>
Id* Merger::merge_short(const Byte* word, std::size_t size, Id* out) const {
  const MergeTable<Id>& merges = this->merges<Id>();
  constexpr std::uint32_t kNone = MergeTable<Id>::kNone;
  constexpr std::size_t kPlaces = kShortWord + 2;
  constexpr int kPlaceBits = 6;
  constexpr std::uint64_t kNever = std::uint64_t{kNone} << kPlaceBits;
  std::uint32_t ids[kPlaces];
  std::uint64_t order[kPlaces];  // rank, then place
  Byte next[kPlaces], previous[kPlaces];
  ids[0] = ids[size + 1] = kNone;
  for (std::size_t i = 1; i <= size; ++i) {
    ids[i] = base_[word[i - 1]];
    next[i] = static_cast<Byte>(i + 1);
    previous[i] = static_cast<Byte>(i - 1);
  }
  const auto pair_up = [&](std::size_t left, std::size_t right) {
    order[left] = std::uint64_t{merges.rank(ids[left], ids[right])} << kPlaceBits | left;
  };
  for (std::size_t i = 1; i < size; ++i) pair_up(i, i + 1);
  order[size] = kNever;
  for (;;) {
    std::uint64_t least = kNever;
    for (std::size_t i = 1; i < size; ++i) least = order[i] < least ? order[i] : least;
    if (least >= kNever) break;
    const std::size_t left = least & ((1 << kPlaceBits) - 1), gone = next[left], right = next[gone];
    ids[left] = merges.joined(static_cast<std::uint32_t>(least >> kPlaceBits));
    next[left] = static_cast<Byte>(right);
    previous[right] = static_cast<Byte>(left);
    order[gone] = kNever;
    pair_up(left, right);
    pair_up(previous[left], left);
  }
  for (std::size_t i = 1; i <= size; i = next[i]) *out++ = static_cast<Id>(ids[i]);
  return out;
}

// The same in n log n: a heap of (rank, place) over a linked list. An entry whose pair has changed since is passed over.
template <class Id>
Id* Merger::merge_long(const Byte* word, std::size_t size, Id* out, MergeScratch& scratch) const {
  const MergeTable<Id>& merges = this->merges<Id>();
  constexpr std::uint32_t kNone = MergeTable<Id>::kNone, kOutside = ~std::uint32_t{0};
  if (size >= kOutside) throw std::invalid_argument("one word of more than 4 GiB without a break");
  auto& [ids, ranks, next, previous, heap] = scratch;
  const auto count = static_cast<std::uint32_t>(size);
  for (auto* list : {&ids, &ranks, &next, &previous}) list->resize(count);
  heap.clear();
  const auto later = [](std::uint64_t left, std::uint64_t right) { return left > right; };
  const auto pair_up = [&](std::uint32_t i) {
    ranks[i] = next[i] == count ? kNone : merges.rank(ids[i], ids[next[i]]);
    return ranks[i] != kNone;
  };
  for (std::uint32_t i = 0; i < count; ++i) {
    ids[i] = base_[word[i]];
    next[i] = i + 1;
    previous[i] = i - 1;  // of the first: kOutside
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
    ids[i] = merges.joined(rank);
    next[i] = next[gone];
    ranks[gone] = kNone;
    if (next[i] != count) previous[next[i]] = i;
    renew(i);
    if (previous[i] != kOutside) renew(previous[i]);
  }
  for (std::uint32_t i = 0; i < count; i = next[i]) *out++ = static_cast<Id>(ids[i]);
  return out;
}

template std::uint16_t* Merger::merge(const Byte*, std::size_t, std::uint16_t*, MergeScratch&) const;
template std::uint32_t* Merger::merge(const Byte*, std::size_t, std::uint32_t*, MergeScratch&) const;

}  // namespace jarvis::bpe

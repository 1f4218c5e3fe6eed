// Merging one word: short ones by looking through their pairs, long ones with a heap.
#include "bpe_merge.h"

#include <algorithm>
#include <functional>
#include <stdexcept>
#include <utility>

#include "bpe_categories.h"
#include "cpu_choice.h"

namespace jarvis::bpe {

namespace {

// Up to this many bytes a word is merged by looking through all its pairs each time; past it the quadratic cost shows
// and a heap takes over.
constexpr std::size_t kShortWord = 40;

constexpr std::size_t kKeptScratch = 1 << 16;  // units

}  // namespace

template <class Id>
MergeTable<Id>::MergeTable(const std::vector<std::uint32_t>& merges, const std::vector<std::uint32_t>& ranks) {
  const std::size_t count = merges.size() / 3;
  int bits = 1;
  while ((std::size_t{kPairs} << bits) < 2 * count) ++bits;  // a line is a quarter to half full: few overflow
  lines_.resize(std::size_t{1} << bits);
  shift_ = 64 - bits;
  std::vector<bool> merging(std::size_t{kNone} < 1 << 16 ? kNone + 1 : 0);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t left = merges[3 * i], right = merges[3 * i + 1];
    const std::uint32_t rank = ranks.empty() ? static_cast<std::uint32_t>(i) : ranks[i];
    const Pair pair = static_cast<Pair>(left) << 8 * sizeof(Id) | right;
    if (!merging.empty()) merging[left] = merging[right] = true;
    if (rank >= joined_.size()) joined_.resize(rank + 1);
    joined_[rank] = static_cast<Id>(merges[3 * i + 2]);
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
  std::unordered_map<std::uint32_t, std::uint32_t> made;  // the highest rank that makes an id
  for (std::size_t i = 0; i < count; ++i) {
    std::uint32_t& rank = made[merges[3 * i + 2]];
    rank = std::max(rank, ranks.empty() ? static_cast<std::uint32_t>(i) : ranks[i]);
  }
  for (std::size_t i = 0; i < count && rising_; ++i) {
    for (const std::uint32_t part : {merges[3 * i], merges[3 * i + 1]}) {
      const auto found = made.find(part);
      if (found != made.end() && found->second >= (ranks.empty() ? i : ranks[i])) rising_ = false;
    }
  }
  outside_ = static_cast<Id>(kNone);
  while (!merging.empty() && merging[outside_]) {
    if (outside_-- == 0) throw std::invalid_argument("every one of the 65536 ids is part of a merge");
  }
}

void MergeScratch::shrink() {
  if (ids.capacity() > kKeptScratch) *this = {};
}

Merger::Merger(const std::vector<std::uint32_t>& base, const std::vector<std::uint32_t>& merges,
               const std::vector<std::uint32_t>& ranks, std::unordered_map<std::string, std::uint32_t> words,
               std::size_t limit)
    : words_(std::move(words)) {
  by_byte_ = !base.empty();
  if (by_byte_ && base.size() != 256) throw std::invalid_argument("expected one id for each of the 256 bytes");
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
  const std::size_t most_rank = ranks.empty() ? merges.size() / 3 : *std::max_element(ranks.begin(), ranks.end());
  // To the narrow table the pair of the highest id with itself is an empty place.
  bool narrow = limit <= 65'536 && most_rank < 65'535;
  for (std::size_t i = 0; i < merges.size(); i += 3) narrow = narrow && (merges[i] & merges[i + 1]) != 0xFFFF;
  if (narrow) {
    narrow_ = std::make_unique<MergeTable<std::uint16_t>>(merges, ranks);
#ifdef JARVIS_AVX2_BEGIN
    if (by_byte_ && use_avx2()) small_ = narrow_->narrow(base_);
#endif
  } else {
    wide_ = std::make_unique<MergeTable<std::uint32_t>>(merges, ranks);
  }
}

void Merger::by_character(const std::vector<std::pair<std::uint32_t, std::uint32_t>>& characters, std::uint32_t unknown,
                          bool fuse) {
  constexpr std::uint32_t kLatin = 0x250;
  by_character_ = true;
  small_ = {};
  unknown_ = unknown;
  fuse_ = fuse;
  latin_.assign(kLatin, kNoId);
  for (const auto& [code, id] : characters) {
    if (code < kLatin) {
      latin_[code] = id;
    } else {
      characters_[code] = id;
    }
  }
}

std::size_t Merger::units(const Byte* word, std::size_t size, std::uint32_t* ids) const {
  if (by_character_) return units_by_character(word, size, ids);
  for (std::size_t i = 0; i < size; ++i) ids[i] = base_[word[i]];
  return size;
}

std::size_t Merger::units_by_character(const Byte* word, std::size_t size, std::uint32_t* ids) const {
  std::size_t count = 0;
  bool after_unknown = false;
  for (const Byte* at = word; at < word + size; at += width_at(at)) {
    const std::uint32_t code = code_at(at);
    std::uint32_t id = kNoId;
    if (code < latin_.size()) {
      id = latin_[code];
    } else if (const auto found = characters_.find(code); found != characters_.end()) {
      id = found->second;
    }
    if (id != kNoId) {
      ids[count++] = id;
      after_unknown = false;
    } else if (by_byte_) {
      for (int i = 0; i < width_at(at); ++i) ids[count++] = base_[at[i]];
    } else if (unknown_ != kNoId) {
      if (!(fuse_ && after_unknown)) ids[count++] = unknown_;
      after_unknown = true;
    }
  }
  return count;
}

namespace {

// Again and again the pair of lowest rank, the leftmost of equals, until no pair has a rank. A merged unit leaves a hole
// behind; place 0 and the place after the last hold ids that merge with nothing.
// The units lie at ids[1] … ids[size], with room at both ends.
template <class Table, class Id>
Id* merge_short(const Table& merges, std::uint32_t* ids, std::size_t size, Id* out) {
  constexpr std::uint32_t kNone = Table::kNone;
  constexpr std::size_t kPlaces = kShortWord + 2;
  constexpr int kPlaceBits = 6;
  constexpr std::uint64_t kNever = std::uint64_t{kNone} << kPlaceBits;
  std::uint64_t order[kPlaces];  // rank, then place
  Byte next[kPlaces], previous[kPlaces];
  ids[0] = ids[size + 1] = merges.outside();
  for (std::size_t i = 1; i <= size; ++i) {
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

// A long word as a linked list of units. `put` is told of each pair that came to be.
template <class Table>
class LongWord {
 public:
  static constexpr std::uint32_t kNone = Table::kNone, kOutside = ~std::uint32_t{0};
  // The ids of the units are scratch.ids.
  LongWord(const Table& merges, std::size_t size, MergeScratch& scratch)
      : merges_(merges), size_(static_cast<std::uint32_t>(size)) {
    if (size >= kOutside) throw std::invalid_argument("one word of more than 4 GiB without a break");
    if (scratch.units.size() < size) scratch.units.resize(size);
    units_ = scratch.units.data();
    for (std::uint32_t i = 0; i < size_; ++i) units_[i] = {scratch.ids[i], kNone, i + 1, i - 1};  // first: kOutside
  }
  template <class Put>
  void pair_all(const Put& put) {
    for (std::uint32_t i = 0; i < size_; ++i) renew(i, put);
  }
  // Merges the pair at a place if it still has that rank.
  template <class Put>
  void merge(std::uint32_t rank, std::uint32_t place, const Put& put) {
    MergeScratch::Unit& unit = units_[place];
    if (unit.rank != rank) return;
    MergeScratch::Unit& gone = units_[unit.next];
    unit.id = merges_.joined(rank);
    unit.next = gone.next;
    gone.rank = kNone;
    if (unit.next != size_) units_[unit.next].previous = place;
    renew(place, put);
    if (unit.previous != kOutside) renew(unit.previous, put);
  }
  void fetch(std::uint32_t place) const { __builtin_prefetch(units_ + place); }
  template <class Id>
  Id* write(Id* out) const {
    for (std::uint32_t i = 0; i < size_; i = units_[i].next) *out++ = static_cast<Id>(units_[i].id);
    return out;
  }

 private:
  template <class Put>
  void renew(std::uint32_t place, const Put& put) {
    MergeScratch::Unit& unit = units_[place];
    unit.rank = unit.next == size_ ? kNone : merges_.rank(unit.id, units_[unit.next].id);
    if (unit.rank != kNone) put(unit.rank, place);
  }
  const Table& merges_;
  MergeScratch::Unit* units_;
  std::uint32_t size_;
};

// A long word in n log n, whatever the ranks: a heap of (rank, place). An entry whose pair has changed since is passed over.
template <class Table, class Id>
Id* merge_by_heap(const Table& merges, std::size_t size, Id* out, MergeScratch& scratch) {
  LongWord<Table> word(merges, size, scratch);
  std::vector<std::uint64_t>& heap = scratch.heap;
  heap.clear();
  const auto later = [](std::uint64_t left, std::uint64_t right) { return left > right; };
  word.pair_all([&](std::uint32_t rank, std::uint32_t place) { heap.push_back(std::uint64_t{rank} << 32 | place); });
  std::make_heap(heap.begin(), heap.end(), later);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    const std::uint64_t least = heap.back();
    heap.pop_back();
    word.merge(least >> 32, static_cast<std::uint32_t>(least), [&](std::uint32_t rank, std::uint32_t place) {
      heap.push_back(std::uint64_t{rank} << 32 | place);
      std::push_heap(heap.begin(), heap.end(), later);
    });
  }
  return word.write(out);
}

// Where merges only bring forth pairs of higher rank, all places of a rank can be merged in one go, from left to right:
// lists of places instead of a heap of them, and only the ranks that are due in a heap.
template <class Table, class Id>
Id* merge_by_rank(const Table& merges, std::size_t size, Id* out, MergeScratch& scratch) {
  constexpr std::uint32_t kEnd = ~std::uint32_t{0};
  constexpr std::size_t kAhead = 8;
  LongWord<Table> word(merges, size, scratch);
  constexpr std::uint32_t kFull = sizeof MergeScratch::Places::place / sizeof(std::uint32_t);
  auto& [ids, units, heap, lines, latest, due, now] = scratch;
  if (latest.size() < merges.ranks()) latest.resize(merges.ranks(), kEnd);
  lines.clear();
  due.clear();
  const auto put = [&](std::uint32_t rank, std::uint32_t place) {
    if (latest[rank] == kEnd) {
      due.push_back(rank);
      std::push_heap(due.begin(), due.end(), std::greater<>());
    }
    if (latest[rank] == kEnd || lines[latest[rank]].count == kFull) {
      lines.push_back({latest[rank], 0, {}});
      latest[rank] = static_cast<std::uint32_t>(lines.size() - 1);
    }
    MergeScratch::Places& line = lines[latest[rank]];
    line.place[line.count++] = place;
  };
  word.pair_all(put);
  while (!due.empty()) {
    std::pop_heap(due.begin(), due.end(), std::greater<>());
    const std::uint32_t rank = due.back();
    due.pop_back();
    now.clear();
    for (std::uint32_t at = std::exchange(latest[rank], kEnd); at != kEnd; at = lines[at].before) {
      for (std::uint32_t i = lines[at].count; i-- > 0;) now.push_back(lines[at].place[i]);
    }
    std::reverse(now.begin(), now.end());
    if (!std::is_sorted(now.begin(), now.end())) std::sort(now.begin(), now.end());
    for (std::size_t i = 0; i < now.size(); ++i) {
      if (i + kAhead < now.size()) word.fetch(now[i + kAhead]);
      word.merge(rank, now[i], put);
    }
  }
  return word.write(out);
}

template <class Table, class Id>
Id* merge_long(const Table& merges, std::size_t size, Id* out, MergeScratch& scratch) {
  return merges.rising() ? merge_by_rank(merges, size, out, scratch) : merge_by_heap(merges, size, out, scratch);
}

}  // namespace

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
  if (size <= kShortWord) {
    std::uint32_t ids[kShortWord + 2];
    const std::size_t count = units(word, size, ids + 1);
    return narrow_ ? merge_short(*narrow_, ids, count, out) : merge_short(*wide_, ids, count, out);
  }
  scratch.ids.resize(size);
  const std::size_t count = units(word, size, scratch.ids.data());
  return narrow_ ? merge_long(*narrow_, count, out, scratch) : merge_long(*wide_, count, out, scratch);
}

template std::uint16_t* Merger::merge(const Byte*, std::size_t, std::uint16_t*, MergeScratch&) const;
template std::uint32_t* Merger::merge(const Byte*, std::size_t, std::uint32_t*, MergeScratch&) const;

}  // namespace jarvis::bpe

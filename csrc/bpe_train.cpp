// The second step of training: merges, by a lazy queue of pairs.
#include <algorithm>
#include <bit>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include "bpe_train.h"

namespace jarvis::bpe {

namespace {

constexpr std::uint64_t kMix = 0x9E3779B97F4A7C15u;

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

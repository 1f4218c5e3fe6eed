// Unicode normalization (Unicode Standard Annex 15) and the smaller steps beside it.
//
// Text is mostly normal already: a table tells for each character and form whether it could change or be reordered, and
// only the stretch from the last stable character before such a one is decomposed, ordered and composed.
#include "bpe_normalize.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include "bpe_categories.h"
#include "normalization_tables.h"

namespace jarvis::bpe {

namespace {

using Kind = NormalizerStep::Kind;

// Hangul syllables are computed: UAX 15, section 16 (chapter 3.12 of the standard).
constexpr std::uint32_t kSyllables = 0xAC00, kLead = 0x1100, kVowel = 0x1161, kTail = 0x11A7;
constexpr std::uint32_t kTails = 28, kVowelTails = 21 * 28, kSyllableCount = 11172;

// Bits of a character's properties. Unstable in a form: it changes, is reordered, or joins the character before it.
enum Property : Byte {
  kUnstableNfc = 1, kUnstableNfd = 2, kUnstableNfkc = 4, kUnstableNfkd = 8, kCased = 16, kAccent = 32, kMarkClass = 64
};

const Replacement* find_in(const Replacement* first, const Replacement* last, std::uint32_t code) {
  const auto* found = std::lower_bound(first, last, code, [](const Replacement& entry, std::uint32_t wanted) {
    return entry.code < wanted;
  });
  return found != last && found->code == code ? found : nullptr;
}

template <std::size_t kSize>
const Replacement* find_in(const Replacement (&table)[kSize], std::uint32_t code) {
  return find_in(table, table + kSize, code);
}

std::uint8_t combining_class(std::uint32_t code) {
  const auto* found = std::upper_bound(std::begin(kCombining), std::end(kCombining), code,
                                       [](std::uint32_t wanted, const ClassRange& range) { return wanted < range.first; });
  return found != std::begin(kCombining) && code <= found[-1].last ? found[-1].value : 0;
}

// What the two make together, or 0.
std::uint32_t composed(std::uint32_t first, std::uint32_t second) {
  if (first - kLead < 19 && second - kVowel < 21) {
    return kSyllables + (first - kLead) * kVowelTails + (second - kVowel) * kTails;
  }
  if (first - kSyllables < kSyllableCount && (first - kSyllables) % kTails == 0 && second - kTail - 1 < kTails - 1) {
    return first + (second - kTail);
  }
  const auto* found = std::lower_bound(std::begin(kCompositions), std::end(kCompositions), std::pair(first, second),
                                       [](const Composition& entry, const auto& wanted) {
                                         return std::pair(entry.first, entry.second) < wanted;
                                       });
  const bool same = found != std::end(kCompositions) && found->first == first && found->second == second;
  return same ? found->composed : 0;
}

template <class Add>
void decompose(std::uint32_t code, bool compatible, Add add) {
  if (code < 0x80) return add(code);
  if (code - kSyllables < kSyllableCount) {
    const std::uint32_t index = code - kSyllables;
    add(kLead + index / kVowelTails);
    add(kVowel + index % kVowelTails / kTails);
    if (index % kTails) add(kTail + index % kTails);
    return;
  }
  const Replacement* found = compatible ? find_in(kCompatible, code) : nullptr;
  if (!found) found = find_in(kCanonical, code);
  if (!found) return add(code);
  for (int i = 0; i < found->size; ++i) add(static_cast<std::uint32_t>(kReplaced[found->at + i]));
}

std::size_t bytes_of(std::uint32_t code) { return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4; }

void append(std::string& out, std::uint32_t code) {
  char bytes[4];
  std::size_t size = 0;
  if (code < 0x80) {
    bytes[size++] = static_cast<char>(code);
  } else {
    if (code < 0x800) {
      bytes[size++] = static_cast<char>(0xC0 | code >> 6);
    } else {
      if (code < 0x10000) {
        bytes[size++] = static_cast<char>(0xE0 | code >> 12);
      } else {
        bytes[size++] = static_cast<char>(0xF0 | code >> 18);
        bytes[size++] = static_cast<char>(0x80 | (code >> 12 & 0x3F));
      }
      bytes[size++] = static_cast<char>(0x80 | (code >> 6 & 0x3F));
    }
    bytes[size++] = static_cast<char>(0x80 | (code & 0x3F));
  }
  out.append(bytes, size);
}

// The properties of each code point, in two steps, derived from the tables.
class Properties {
 public:
  Properties() : blocks_(1) {
    for (const ClassRange& range : kCombining) {
      for (std::uint32_t code = range.first; code <= range.last; ++code) {
        add(code, kMarkClass | kUnstableNfc | kUnstableNfd | kUnstableNfkc | kUnstableNfkd);
      }
    }
    for (const Composition& entry : kCompositions) add(entry.second, kUnstableNfc | kUnstableNfkc);
    for (std::uint32_t code = kVowel; code < kVowel + 21; ++code) add(code, kUnstableNfc | kUnstableNfkc);
    for (std::uint32_t code = kTail + 1; code < kTail + kTails; ++code) add(code, kUnstableNfc | kUnstableNfkc);
    for (std::uint32_t code = kSyllables; code < kSyllables + kSyllableCount; ++code) {
      add(code, kUnstableNfd | kUnstableNfkd);
    }
    for (const Replacement& entry : kCanonical) {
      add(entry.code, kUnstableNfd | kUnstableNfkd);
      if (changes_under_nfc(entry)) add(entry.code, kUnstableNfc | kUnstableNfkc);
    }
    for (const Replacement& entry : kCompatible) add(entry.code, kUnstableNfkc | kUnstableNfkd);
    for (const Replacement& entry : kLower) add(entry.code, kCased);
    for (const ClassRange& range : kAccents) {
      for (std::uint32_t code = range.first; code <= range.last; ++code) add(code, kAccent);
    }
  }
  Byte operator[](std::uint32_t code) const { return blocks_[block_[code >> 8]][code & 0xFF]; }

 private:
  void add(std::uint32_t code, int bits) {
    if (block_[code >> 8] == 0) {
      block_[code >> 8] = static_cast<std::uint16_t>(blocks_.size());
      blocks_.emplace_back();
    }
    blocks_[block_[code >> 8]][code & 0xFF] |= static_cast<Byte>(bits);
  }
  // Composing the parts from left to right does not give the character back.
  static bool changes_under_nfc(const Replacement& entry) {
    std::uint32_t whole = kReplaced[entry.at];
    for (int i = 1; i < entry.size; ++i) whole = whole ? composed(whole, kReplaced[entry.at + i]) : 0;
    return whole != entry.code;
  }
  std::array<std::uint16_t, 0x1100> block_{};
  std::vector<std::array<Byte, 256>> blocks_;
};

const Properties& properties() {
  static const Properties table;
  return table;
}

const Byte* bytes_in(std::string_view text) { return reinterpret_cast<const Byte*>(text.data()); }

std::string_view between(const Byte* start, const Byte* end) {
  return {reinterpret_cast<const char*>(start), static_cast<std::size_t>(end - start)};
}

// The first character from `at` on with one of these properties. Below `least`, a lead byte, none has.
const Byte* find_property(const Byte* at, const Byte* end, int wanted, Byte least) {
  const Properties& table = properties();
  while (at < end) {
    std::uint64_t eight;
    while (end - at >= 8 && (std::memcpy(&eight, at, 8), (eight & 0x8080808080808080u) == 0)) at += 8;
    if (at == end) break;
    if (*at >= least && table[code_at(at)] & wanted) return at;
    at += width_at(at);
  }
  return end;
}

// One of the four forms. `codes` holds class << 32 | code of a stretch.
class Form {
 public:
  Form(Kind kind, Normalizer::Buffers& buffers)
      : compose_(kind == Kind::nfc || kind == Kind::nfkc),
        compatible_(kind == Kind::nfkc || kind == Kind::nfkd),
        unstable_(kind == Kind::nfc ? kUnstableNfc : kind == Kind::nfd ? kUnstableNfd
                  : kind == Kind::nfkc ? kUnstableNfkc : kUnstableNfkd),
        // Nothing below U+0300 changes under NFC, nor any letter of U+00C0..FF under NFKC.
        least_(kind == Kind::nfc ? 0xCC : 0xC2),
        codes_(buffers.codes),
        kept_(buffers.kept) {}

  // Whether anything may have changed; then the text is in `out`.
  bool run(std::string_view text, std::string& out) {
    const Byte* done = bytes_in(text);
    const Byte* end = done + text.size();
    const Byte* at = find_property(done, end, unstable_, least_);
    if (at == end) return false;
    out.clear();
    while (at < end) {
      const Byte* start = at > done ? character_before(at) : at;
      out.append(between(done, start));
      codes_.clear();
      if (start < at) add(code_at(start));
      for (; at < end && properties()[code_at(at)] & unstable_; at += width_at(at)) add(code_at(at));
      finish(out);
      done = at;
      at = find_property(at, end, unstable_, least_);
    }
    out.append(between(done, end));
    return true;
  }

 private:
  void add(std::uint32_t code) {
    decompose(code, compatible_, [&](std::uint32_t part) {
      const bool marked = part >= 0x300 && properties()[part] & kMarkClass;
      codes_.push_back(std::uint64_t{marked ? combining_class(part) : 0u} << 32 | part);
    });
  }

  void finish(std::string& out) {
    const auto by_class = [](std::uint64_t left, std::uint64_t right) { return left >> 32 < right >> 32; };
    const auto is_mark = [](std::uint64_t code) { return code >> 32 != 0; };
    for (auto at = codes_.begin(); at != codes_.end();) {  // each run of marks is sorted by class, equals kept in order
      at = std::find_if(at, codes_.end(), is_mark);
      const auto after = std::find_if_not(at, codes_.end(), is_mark);
      if (after - at > 1) std::stable_sort(at, after, by_class);
      at = after;
    }
    if (compose_) return join(out);
    for (std::uint64_t code : codes_) append(out, static_cast<std::uint32_t>(code));
  }

  // A mark joins the last starter unless one of its own class or above, or a starter, stands between them.
  void join(std::string& out) {
    kept_.clear();
    std::size_t starter = ~std::size_t{0};
    std::uint64_t last_class = 0;
    for (std::uint64_t entry : codes_) {
      const auto code = static_cast<std::uint32_t>(entry);
      const std::uint64_t kind = entry >> 32;
      if (starter != ~std::size_t{0}) {
        const bool next_to_it = starter + 1 == kept_.size();
        if (next_to_it || last_class < kind) {
          if (const std::uint32_t whole = composed(kept_[starter], code)) {
            kept_[starter] = whole;
            continue;
          }
        }
      }
      if (kind == 0) starter = kept_.size();
      last_class = kind;
      kept_.push_back(code);
    }
    for (std::uint32_t code : kept_) append(out, code);
  }

  bool compose_, compatible_;
  int unstable_;
  Byte least_;
  std::vector<std::uint64_t>& codes_;
  std::vector<std::uint32_t>& kept_;
};

bool lowercase(std::string_view text, std::string& out) {
  const Byte* at = bytes_in(text);
  const Byte* end = at + text.size();
  out.clear();
  while (at < end) {
    const Byte* ascii = at;
    while (at < end && *at < 0x80) ++at;
    const std::size_t before = out.size();
    out.append(between(ascii, at));
    for (std::size_t i = before; i < out.size(); ++i) {
      if (out[i] >= 'A' && out[i] <= 'Z') out[i] = static_cast<char>(out[i] | 0x20);
    }
    for (; at < end && *at >= 0x80; at += width_at(at)) {
      const std::uint32_t code = code_at(at);
      const Replacement* found = properties()[code] & kCased ? find_in(kLower, code) : nullptr;
      if (!found) {
        out.append(between(at, at + width_at(at)));
        continue;
      }
      for (int i = 0; i < found->size; ++i) append(out, static_cast<std::uint32_t>(kReplaced[found->at + i]));
    }
  }
  return true;
}

bool replace(std::string_view text, const NormalizerStep& step, std::string& out) {
  std::size_t found = text.find(step.from);
  if (found == std::string_view::npos) return false;
  out.clear();
  std::size_t done = 0;
  for (; found != std::string_view::npos; found = text.find(step.from, done)) {
    out.append(text.substr(done, found - done)).append(step.to);
    done = found + step.from.size();
  }
  out.append(text.substr(done));
  return true;
}

bool strip_accents(std::string_view text, std::string& out) {
  const Byte* done = bytes_in(text);
  const Byte* end = done + text.size();
  const Byte* at = find_property(done, end, kAccent, 0xCC);
  if (at == end) return false;
  out.clear();
  while (at < end) {
    out.append(between(done, at));
    done = at + width_at(at);
    at = find_property(done, end, kAccent, 0xCC);
  }
  out.append(between(done, end));
  return true;
}

std::string_view stripped(std::string_view text, const NormalizerStep& step) {
  const Byte* start = bytes_in(text);
  const Byte* end = start + text.size();
  while (step.left && start < end && is_space(code_at(start))) start += width_at(start);
  while (step.right && start < end && is_space(code_at(character_before(end)))) end = character_before(end);
  return between(start, end);
}

template <std::size_t kSize>
std::size_t most_growth(const Replacement (&table)[kSize]) {
  std::size_t most = 1;
  for (const Replacement& entry : table) {
    std::size_t size = 0;
    for (int i = 0; i < entry.size; ++i) size += bytes_of(kReplaced[entry.at + i]);
    most = std::max(most, (size + bytes_of(entry.code) - 1) / bytes_of(entry.code));
  }
  return most;
}

std::size_t growth_of(const NormalizerStep& step) {
  constexpr std::size_t kHangul = 3;  // three bytes to nine
  switch (step.kind) {
    case Kind::nfc: case Kind::nfd: return std::max(most_growth(kCanonical), kHangul);
    case Kind::nfkc: case Kind::nfkd: return std::max({most_growth(kCanonical), most_growth(kCompatible), kHangul});
    case Kind::lowercase: return most_growth(kLower);
    case Kind::replace: return std::max<std::size_t>(1, (step.to.size() + step.from.size() - 1) / step.from.size());
    default: return 1;
  }
}

}  // namespace

NormalizerStep::Kind normalizer_named(const std::string& name) {
  static const std::pair<const char*, Kind> kNames[] = {
      {"NFC", Kind::nfc}, {"NFD", Kind::nfd}, {"NFKC", Kind::nfkc}, {"NFKD", Kind::nfkd},
      {"Lowercase", Kind::lowercase}, {"Prepend", Kind::prepend}, {"Replace", Kind::replace},
      {"Strip", Kind::strip}, {"StripAccents", Kind::strip_accents}};
  for (const auto& [known, kind] : kNames) {
    if (name == known) return kind;
  }
  throw std::invalid_argument("no normalizer named " + name);
}

Normalizer::Normalizer(std::vector<NormalizerStep> steps) : steps_(std::move(steps)) {
  for (const NormalizerStep& step : steps_) {
    if (step.kind == Kind::replace && step.from.empty()) throw std::invalid_argument("Replace of an empty text");
  }
}

void Normalizer::Buffers::shrink() {
  constexpr std::size_t kKept = 1 << 20;
  for (std::string& buffer : text) {
    if (buffer.capacity() > kKept) std::string().swap(buffer);
  }
  if (codes.capacity() > kKept / 8) std::vector<std::uint64_t>().swap(codes);
  if (kept.capacity() > kKept / 8) std::vector<std::uint32_t>().swap(kept);
}

std::string_view Normalizer::apply(std::string_view text, Buffers& buffers) const {
  int turn = 0;  // the buffer to write: the text is never in it
  for (const NormalizerStep& step : steps_) {
    std::string& out = buffers.text[turn];
    bool changed = true;
    switch (step.kind) {
      case Kind::nfc: case Kind::nfd: case Kind::nfkc: case Kind::nfkd:
        changed = Form(step.kind, buffers).run(text, out);
        break;
      case Kind::lowercase: changed = lowercase(text, out); break;
      case Kind::replace: changed = replace(text, step, out); break;
      case Kind::strip_accents: changed = strip_accents(text, out); break;
      case Kind::prepend:
        changed = !text.empty();
        if (changed) out.assign(step.to).append(text);
        break;
      case Kind::strip:
        text = stripped(text, step);
        changed = false;
        break;
    }
    if (!changed) continue;
    text = out;
    turn = 1 - turn;
  }
  return text;
}

std::size_t Normalizer::most_bytes(std::size_t size, std::size_t pieces) const {
  for (const NormalizerStep& step : steps_) {
    size = step.kind == Kind::prepend ? size + pieces * step.to.size() : size * growth_of(step);
  }
  return size;
}

bool Normalizer::in_parts(const std::string& mark) const {
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const NormalizerStep& step = steps_[i];
    if (step.kind == Kind::strip || (step.kind == Kind::prepend && i > 0)) return false;
    if (step.kind != Kind::replace) continue;
    const Byte* from = bytes_in(step.from);
    if (step.from.size() != static_cast<std::size_t>(width_at(from))) return false;
    if (*from < 0x80 && *from != ' ') return false;
    if (*from == ' ' && !mark.empty() && step.to != mark) return false;
  }
  return true;
}

Normalizer Normalizer::later_parts() const {
  Normalizer later = *this;
  std::erase_if(later.steps_, [](const NormalizerStep& step) { return step.kind == Kind::prepend; });
  return later;
}

}  // namespace jarvis::bpe

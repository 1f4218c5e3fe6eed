// Cuts valid UTF-8 into words as the regular expressions of kernels/bpe/patterns.py do, without a regex engine.
// Each `next` is one pattern read from left to right: its alternatives in order, each greedy, each linear.
#pragma once

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "bpe_categories.h"
#include "bpe_utf8.h"
#include "unicode_tables.h"

namespace jarvis::bpe {

// How text is cut into words before any merge; kernels/bpe/patterns.py has the regular expressions.
enum class Pattern { french, gpt2, llama3, qwen2, bloom, o200k, tekken };

// The pattern of that name; std::invalid_argument if there is none.
Pattern pattern_named(const std::string& name);

// The end of the word that begins at `at`, in valid UTF-8; at < end.
const Byte* next_word(Pattern pattern, const Byte* at, const Byte* end);

// The class of each code point, in two steps: 256 code points a block, equal blocks shared.
struct CharacterTable {
  std::array<std::uint16_t, 0x1100> block;
  std::vector<std::array<Byte, 256>> blocks;
  CharacterTable();
  Byte operator[](std::uint32_t code) const { return blocks[block[code >> 8]][code & 0xFF]; }
};
const CharacterTable& character_table();

// The same on plain pointers, for code compiled for another instruction set.
struct ClassTable {
  const std::uint16_t* block;
  const Byte (*blocks)[256];
  Byte of(std::uint32_t code) const { return blocks[block[code >> 8]][code & 0xFF]; }
};
const ClassTable& class_table();

// A character in the text: its class (kEnd past the end) and how many bytes it takes.
struct Seen {
  Byte kind, width;
};

inline constexpr Byte kEnd = 16;
inline constexpr Byte kWord = kLetter | kMark;

template <Pattern kPattern>
class Scanner {
 public:
  explicit Scanner(const Byte* end) : end_(end), table_(character_table()), latin_(table_.blocks[0].data()) {}

  const Byte* next(const Byte* at) const {
    if constexpr (kPattern == Pattern::french) return french(at);
    if constexpr (kPattern == Pattern::gpt2) return gpt2(at);
    if constexpr (kPattern == Pattern::llama3) return llama3(at, 3);
    if constexpr (kPattern == Pattern::qwen2) return llama3(at, 1);
    if constexpr (kPattern == Pattern::bloom) return bloom(at);
    if constexpr (kPattern == Pattern::o200k) return o200k(at, 3, true);
    if constexpr (kPattern == Pattern::tekken) return o200k(at, 1, false);
  }

 private:
  // [ \-]?(?:[Aa]ujourd['’]hui(?![\p{L}\p{M}])|[\p{L}\p{M}]+(?:['’](?=\p{L}))?)|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+|…
  const Byte* french(const Byte* at) const {
    const Byte* word = at + (*at == ' ' || *at == '-');
    if (look(word).kind & kWord) {
      if (const Byte* today = aujourdhui(word)) return today;
      const Byte* after = run(word, kWord);
      const Byte* elided = after + apostrophe(after);
      return elided > after && look(elided).kind & kLetter ? elided : after;
    }
    const Seen first = look(at);
    if (first.kind & kNumber) return at + first.width;
    const Byte* marks = at + (*at == ' ');
    if (look(marks).kind == kOther) return run_other(marks);
    return white_space(at, true);
  }

  // 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
  const Byte* gpt2(const Byte* at) const {
    if (*at == '\'') {
      if (const Byte* after = contraction(at + 1, false)) return after;
    }
    const Byte* word = at + (*at == ' ');
    const Seen first = look(word);
    if (first.kind & kLetter) return run(word, kLetter);
    if (first.kind & kNumber) return run(word, kNumber);
    if (!(first.kind & (kSpace | kEnd))) return run_other_or_mark(word);
    return white_space(at, false);
  }

  // (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|…
  const Byte* llama3(const Byte* at, int most_digits) const {
    if (*at == '\'') {
      if (const Byte* after = contraction(at + 1, true)) return after;
    }
    const Seen first = look(at);
    if (first.kind & kLetter) return run(at, kLetter);
    if (first.kind & kNumber) return digits(at, most_digits);
    if (!new_line(*at) && look(at + first.width).kind & kLetter) return run(at + first.width, kLetter);
    const Byte* marks = at + (*at == ' ');
    if (!(look(marks).kind & (kSpace | kEnd | kLetter | kNumber))) {
      const Byte* after = run_other_or_mark(marks);
      while (after < end_ && new_line(*after)) ++after;
      return after;
    }
    return white_space(at, true);
  }

  // [^\r\n\p{L}\p{N}]?U*L+C?|[^\r\n\p{L}\p{N}]?U+L*C?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
  // with U = [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}], L = [\p{Ll}\p{Lm}\p{Lo}\p{M}], C = (?i:'s|'t|'re|'ve|'m|'ll|'d).
  const Byte* o200k(const Byte* at, int most_digits, bool contractions) const {
    const Seen first = look(at);
    const bool joins = !(first.kind & (kLetter | kNumber)) && !new_line(*at);
    const Byte* after = lower_word(at + (joins ? first.width : 0));
    if (!after && first.kind & kMark) after = lower_word(at);
    if (!after) {
      const Byte* word = at + (joins ? first.width : 0);
      after = case_run(word, kUpper);
      if (after == word) after = nullptr;  // no capitals either
    }
    if (after) {
      if (!contractions || after == end_ || *after != '\'') return after;
      const Byte* contracted = contraction(after + 1, true);
      return contracted ? contracted : after;
    }
    if (first.kind & kNumber) return digits(at, most_digits);
    const Byte* marks = at + (*at == ' ');
    if (!(look(marks).kind & (kSpace | kEnd | kLetter | kNumber))) {
      const Byte* end = run_other_or_mark(marks);
      while (end < end_ && (new_line(*end) || *end == '/')) ++end;
      return end;
    }
    return white_space(at, true);
  }

  // U*L+, or null. U* gives back what L+ needs: the last character that both hold, if no other of L follows.
  const Byte* lower_word(const Byte* at) const {
    const Byte* shared = nullptr;  // the end of the last such character
    for (Byte kinds = case_at(at); kinds & kUpper; kinds = case_at(at)) {
      at += width_at(at);
      if (kinds & kLower) shared = at;
    }
    if (case_at(at) & kLower) return case_run(at, kLower);
    return shared;
  }

  static constexpr Byte kUpper = 1, kLower = 2;  // U and L
  Byte case_at(const Byte* at) const {
    if (at == end_) return 0;
    if (*at < 0x80) return static_cast<Byte>(*at - 'A') < 26 ? kUpper : static_cast<Byte>(*at - 'a') < 26 ? kLower : 0;
    static constexpr Byte kCases[] = {0, kUpper, kLower, kUpper, 3, 3, 3, 3, 3};  // by category: Lu Ll Lt Lm Lo Mn Mc Me
    const int category = category_table()[code_at(at)] & kCategoryBits;
    return category <= kMe ? kCases[category] : 0;
  }
  const Byte* case_run(const Byte* at, Byte kinds) const {
    while (case_at(at) & kinds) at += width_at(at);
    return at;
  }

  const Byte* digits(const Byte* at, int most) const {
    for (Seen digit = look(at); most > 0 && digit.kind & kNumber; digit = look(at), --most) at += digit.width;
    return at;
  }

  // " ?[^(\s|[.,!?…。，、।۔،])]+", and what lies between two matches stays together.
  const Byte* bloom(const Byte* at) const {
    for (const Byte* start = at; at < end_; at += look(at).width) {
      const Byte* word = at + (*at == ' ');
      if (word == end_ || breaks(word)) continue;
      if (at > start) return at;
      while (word < end_ && !breaks(word)) word += look(word).width;
      return word;
    }
    return end_;
  }

  // \s*[\r\n]+ (with new_lines), \s+(?!\S), \s+
  const Byte* white_space(const Byte* at, bool new_lines) const {
    const Byte* after = at;
    const Byte* last = at;          // where the last character of the run begins
    const Byte* line_end = nullptr;
    for (Seen seen = look(after); seen.kind & kSpace; seen = look(after)) {
      last = after;
      after += seen.width;
      if (new_line(*last)) line_end = after;
    }
    if (new_lines && line_end) return line_end;
    return after == end_ || last == at ? after : last;
  }

  Seen look(const Byte* at) const {
    if (at == end_) return {kEnd, 0};
    if (*at < 0x80) return {latin_[*at], 1};
    if (*at < 0xE0) return {table_[(at[0] & 0x1Fu) << 6 | (at[1] & 0x3Fu)], 2};
    if (*at < 0xF0) return {table_[(at[0] & 0x0Fu) << 12 | (at[1] & 0x3Fu) << 6 | (at[2] & 0x3Fu)], 3};
    const std::uint32_t high = (at[0] & 0x07u) << 18 | (at[1] & 0x3Fu) << 12;
    return {table_[high | (at[2] & 0x3Fu) << 6 | (at[3] & 0x3Fu)], 4};
  }

  const Byte* run(const Byte* at, Byte kinds) const {
    for (Seen seen = look(at); seen.kind & kinds; seen = look(at)) at += seen.width;
    return at;
  }
  const Byte* run_other(const Byte* at) const {
    for (Seen seen = look(at); seen.kind == kOther; seen = look(at)) at += seen.width;
    return at;
  }
  const Byte* run_other_or_mark(const Byte* at) const {
    for (Seen seen = look(at); !(seen.kind & ~kMark); seen = look(at)) at += seen.width;
    return at;
  }

  static bool new_line(Byte byte) { return byte == '\n' || byte == '\r'; }

  bool begins(const Byte* at, const char* text, std::size_t size) const {
    return static_cast<std::size_t>(end_ - at) >= size && std::memcmp(at, text, size) == 0;
  }

  // The width of ' or ’ here, else 0.
  int apostrophe(const Byte* at) const {
    if (at < end_ && *at == '\'') return 1;
    return begins(at, "\xE2\x80\x99", 3) ? 3 : 0;
  }

  const Byte* aujourdhui(const Byte* at) const {
    if ((*at | 0x20) != 'a' || !begins(at + 1, "ujourd", 6)) return nullptr;
    const Byte* mark = at + 7;
    const Byte* rest = mark + apostrophe(mark);
    if (rest == mark || !begins(rest, "hui", 3)) return nullptr;
    return look(rest + 3).kind & kWord ? nullptr : rest + 3;
  }

  // The end of s t re ve m ll d after an apostrophe, or null. Without regard to case the engine takes ſ for s.
  const Byte* contraction(const Byte* at, bool any_case) const {
    if (at == end_) return nullptr;
    const Byte fold = any_case ? 0x20 : 0;
    const auto letter = [&](const Byte* place) { return static_cast<Byte>(*place | fold); };
    switch (letter(at)) {
      case 's': case 't': case 'm': case 'd': return at + 1;
      default: break;
    }
    if (any_case && begins(at, "\xC5\xBF", 2)) return at + 2;
    if (end_ - at < 2) return nullptr;
    const Byte first = letter(at), second = letter(at + 1);
    return (first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l')
               ? at + 2
               : nullptr;
  }

  // Whether bloom's pattern excludes the character here.
  bool breaks(const Byte* at) const {
    if (look(at).kind & kSpace) return true;
    switch (*at) {
      case '(': case ')': case '|': case '.': case ',': case '!': case '?': return true;
      case 0xD8: return at[1] == 0x8C;                                             // ،
      case 0xDB: return at[1] == 0x94;                                             // ۔
      case 0xE0: return at[1] == 0xA5 && at[2] == 0xA4;                            // ।
      case 0xE2: return at[1] == 0x80 && at[2] == 0xA6;                            // …
      case 0xE3: return at[1] == 0x80 && (at[2] == 0x81 || at[2] == 0x82);         // 、 。
      case 0xEF: return at[1] == 0xBC && at[2] == 0x8C;                            // ，
      default: return false;
    }
  }

  const Byte* end_;
  const CharacterTable& table_;
  const Byte* latin_;
};

// Where the white space that ends at `end` begins, not before `from`; and where that beginning at `at` ends.
const Byte* spaces_before(const Byte* from, const Byte* end);
const Byte* spaces_after(const Byte* at, const Byte* end);

}  // namespace jarvis::bpe

// A small regular-expression matcher for pre-tokenizer patterns that have no scanner of their own: classes, greedy and
// possessive repeats of one class, alternatives, optional groups, look-ahead. Leftmost, first alternative, as the
// engines of tokenizers (Oniguruma) and tiktoken have it; what it cannot do exactly it refuses when it is built.
#pragma once

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "bpe_categories.h"

namespace jarvis::bpe {

class Regex {
 public:
  // Why a pattern is refused: what it holds that this matcher does not have.
  struct Unsupported : std::invalid_argument {
    using std::invalid_argument::invalid_argument;
  };
  enum class Dialect { oniguruma, tiktoken };  // $ is the end of a line to the one, of the text to the other

  explicit Regex(std::string_view pattern, Dialect dialect = Dialect::oniguruma);

  struct Match {
    const Byte *start, *end;
  };
  // Stack of one caller.
  struct Frame {
    int next;
    const Byte *at, *least;  // a repeat may give back down to `least`; null: an alternative
  };
  using Stack = std::vector<Frame>;
  // The first match in [at, end), both at the end if there is none. With `bytes` each byte is the character that stands
  // for it in a byte-level vocabulary.
  Match find(const Byte* at, const Byte* end, bool bytes, Stack& stack) const;

 private:
  friend class RegexParser;
  struct Class {
    std::array<std::uint64_t, 2> ascii{};
    std::uint32_t categories = 0;  // a bit each
    std::vector<std::pair<std::uint32_t, std::uint32_t>> ranges;  // from U+0080 on
    bool space = false, word = false;
    bool negated = false;
    std::array<bool, 256> in_bytes{};  // of the characters that stand for bytes
    bool holds(std::uint32_t code) const { return code < 0x80 ? ascii[code >> 6] >> (code & 63) & 1 : holds_other(code); }
    bool holds_other(std::uint32_t code) const;
    void finish();  // the negation goes into the tables
  };
  enum class Op : std::uint8_t { repeat, either, jump, ahead, not_ahead, line_end, match };
  struct Instruction {
    Op op;
    bool possessive = false;
    int kind = 0;                                   // repeat: place in classes_
    int target = 0;                                 // either, jump, ahead: where else, or where after
    std::uint32_t least = 1, most = 1;              // repeat
  };
  template <bool kBytes>
  static bool holds(const Class& kind, const Byte* at) {
    return kBytes ? kind.in_bytes[*at] : kind.holds(code_at(at));
  }
  void add_first(int place, int depth);
  template <bool kBytes>
  const Byte* run(int next, const Byte* at, const Byte* end, Stack& stack) const;
  template <bool kBytes>
  Match find_as(const Byte* at, const Byte* end, Stack& stack) const;

  std::vector<Class> classes_;
  std::vector<Instruction> program_;
  Dialect dialect_;
  std::array<bool, 256> first_{}, first_in_bytes_{};  // the bytes that a match may begin with
  int leading_class_ = -1;  // of a pattern that is one sequence beginning with class+
};

}  // namespace jarvis::bpe

// The parser writes a short program; the matcher runs it with a stack of places to go back to.
#include "bpe_regex.h"

#include <algorithm>
#include <optional>
#include <unordered_set>

namespace jarvis::bpe {

namespace {

constexpr std::uint32_t kNoLimit = 0xFFFFFFFF;
// After this many steps back in one attempt, places that failed are remembered, so that no attempt is exponential.
constexpr int kPatience = 4096;

constexpr const char* kCategoryNames[] = {"", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps",
                                          "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Co"};

std::uint32_t categories_named(std::string_view name) {
  std::uint32_t bits = 0;
  for (int i = 1; i <= kCo; ++i) {
    const std::string_view known = kCategoryNames[i];
    if (name == known || (name.size() == 1 && known[0] == name[0])) bits |= 1u << i;
  }
  // \p{C} holds surrogates and unassigned code points too, which the table has not.
  return name == "C" ? 0 : bits;
}

}  // namespace

class RegexParser {
 public:
  RegexParser(std::string_view pattern, Regex& regex) : at_(pattern), regex_(regex) {}

  void parse() {
    const std::uint32_t least = alternatives();
    if (!at_.empty()) refuse("an unmatched )");
    if (least == 0) refuse("a pattern that may match nothing");
    emit({.op = Regex::Op::match});
    const Regex::Instruction& first = regex_.program_.front();
    if (first.op == Regex::Op::repeat && first.least == 1 && first.most == kNoLimit) regex_.leading_class_ = first.kind;
  }

 private:
  using Class = Regex::Class;
  using Op = Regex::Op;
  using Instruction = Regex::Instruction;
  struct Counts {
    std::uint32_t least = 1, most = 1;
    bool possessive = false;
  };

  [[noreturn]] static void refuse(const std::string& what) { throw Regex::Unsupported(what); }

  int here() const { return static_cast<int>(regex_.program_.size()); }
  int emit(Instruction instruction) {
    if (here() > 4000) refuse("a very long pattern");
    regex_.program_.push_back(instruction);
    return here() - 1;
  }
  bool starts(std::string_view text) const { return at_.substr(0, text.size()) == text; }
  bool take(std::string_view text) {
    if (!starts(text)) return false;
    at_.remove_prefix(text.size());
    return true;
  }

  // a|b|c: each alternative tried in turn. The fewest characters that any of them takes.
  std::uint32_t alternatives() {
    if (++depth_ > 16) refuse("groups nested more than 16 deep");
    std::vector<int> jumps;
    std::uint32_t fewest = kNoLimit;
    for (;;) {
      // The `either` in front can be known as needed only at the bar: it is put in and all later targets follow.
      const int start = here();
      const std::string_view from = at_;
      const std::uint32_t least = sequence();
      fewest = std::min(fewest, least);
      if (!take("|")) break;
      regex_.program_.resize(start);
      const std::string_view after = at_;
      at_ = from;
      const int either = emit({.op = Op::either});
      sequence();
      at_ = after;
      jumps.push_back(emit({.op = Op::jump}));
      regex_.program_[either].target = here();
    }
    for (int jump : jumps) regex_.program_[jump].target = here();
    --depth_;
    return fewest;
  }

  std::uint32_t sequence() {
    std::uint32_t least = 0;
    previous_ = 0;
    while (!at_.empty() && at_[0] != '|' && at_[0] != ')') least += item();
    return least;
  }

  std::uint32_t item() {
    if (++work_ > 20'000) refuse("a very long pattern");  // a choice is read twice: nested ones, many times
    if (take("$")) {
      emit({.op = Op::line_end});
      return 0;
    }
    if (starts("(?=") || starts("(?!")) return look_ahead();
    if (at_[0] == '(') return group();
    const int kind = add(atom());
    const Counts counts = quantifier();
    emit({.op = Op::repeat, .possessive = counts.possessive, .kind = kind, .least = counts.least, .most = counts.most});
    return counts.least;
  }

  std::uint32_t look_ahead() {
    const int ahead = emit({.op = starts("(?=") ? Op::ahead : Op::not_ahead});
    at_.remove_prefix(3);
    alternatives();
    if (!take(")")) refuse("an unclosed (");
    emit({.op = Op::match});
    regex_.program_[ahead].target = here();
    return 0;
  }

  // (…) and (?:…), once or optional; (?i:…) of ASCII.
  std::uint32_t group() {
    const bool before = any_case_;
    if (take("(?i:")) {
      any_case_ = true;
    } else if (!take("(?:")) {
      if (starts("(?")) refuse("a group " + std::string(at_.substr(0, 4)));
      take("(");
    }
    const int start = here();
    const std::string_view from = at_;
    const bool inside = any_case_;
    std::uint32_t least = alternatives();
    if (!take(")")) refuse("an unclosed (");
    any_case_ = before;
    const Counts counts = quantifier();
    if (counts.least == 1 && counts.most == 1) return least;
    if (counts.least != 0 || counts.most != 1 || counts.possessive) refuse("a repeated group");
    // Optional: written once more, behind a choice.
    regex_.program_.resize(start);
    const int either = emit({.op = Op::either});
    const std::string_view after = at_;
    at_ = from;
    any_case_ = inside;
    alternatives();
    any_case_ = before;
    at_ = after;
    regex_.program_[either].target = here();
    return 0;
  }

  Counts quantifier() {
    Counts counts;
    bool braces = false;
    if (take("*")) {
      counts = {0, kNoLimit};
    } else if (take("+")) {
      counts = {1, kNoLimit};
    } else if (take("?")) {
      counts = {0, 1};
    } else if (starts("{")) {
      at_.remove_prefix(1);
      counts.least = number();
      counts.most = take(",") ? (starts("}") ? kNoLimit : number()) : counts.least;
      if (!take("}") || counts.most < counts.least || counts.most == 0) refuse("a repeat in braces of another kind");
      braces = true;
    } else {
      return counts;
    }
    if (starts("?")) refuse("a lazy repeat");
    if (starts("+")) {
      // To Oniguruma {n,m}+ is a repeat of a repeat.
      if (braces && regex_.dialect_ == Regex::Dialect::oniguruma) refuse("a repeat of a repeat");
      at_.remove_prefix(1);
      counts.possessive = true;
    }
    if (starts("*") || starts("+") || starts("{")) refuse("a repeat of a repeat");
    return counts;
  }

  std::uint32_t number() {
    std::uint32_t value = 0;
    if (at_.empty() || at_[0] < '0' || at_[0] > '9') refuse("a repeat in braces of another kind");
    while (!at_.empty() && at_[0] >= '0' && at_[0] <= '9') {
      value = value * 10 + static_cast<std::uint32_t>(at_[0] - '0');
      if (value > 1000) refuse("more than 1000 repeats");
      at_.remove_prefix(1);
    }
    return value;
  }

  std::uint32_t character() {
    const auto* bytes = reinterpret_cast<const Byte*>(at_.data());
    const std::uint32_t code = code_at(bytes);
    at_.remove_prefix(width_at(bytes));
    return code;
  }

  Class atom() {
    Class kind;
    if (take("[")) return bracket();
    if (take("\\")) {
      escape(kind, false);
      return kind;
    }
    if (take(".")) {
      kind.negated = true;
      add_range(kind, '\n', '\n');
      return kind;
    }
    if (at_[0] == '*' || at_[0] == '+' || at_[0] == '?' || at_[0] == '{' || at_[0] == '^' || at_[0] == ']') {
      refuse("an unescaped " + std::string(1, at_[0]));
    }
    add_letter(kind, character());
    return kind;
  }

  // Under (?i:) a letter stands for its other case too. The engines fold beyond ASCII: s with U+017F, k with U+212A, and
  // pairs such as ss, st, ff with one character; the latter are refused.
  void add_letter(Class& kind, std::uint32_t code) {
    if (any_case_) {
      if (code >= 0x80) refuse("(?i:) of other characters than ASCII");
      const auto lower = static_cast<char>(code | 0x20);
      if (lower >= 'a' && lower <= 'z') {
        static constexpr std::string_view kFolding = "ss st ff fi fl";
        if (previous_ && kFolding.find(std::string{previous_, lower}) != std::string_view::npos) {
          refuse("(?i:) of letters that fold together");
        }
        previous_ = lower;
        add_range(kind, static_cast<std::uint32_t>(lower) - 32, static_cast<std::uint32_t>(lower) - 32);
        add_range(kind, static_cast<std::uint32_t>(lower), static_cast<std::uint32_t>(lower));
        if (lower == 's') add_range(kind, 0x17F, 0x17F);
        if (lower == 'k') add_range(kind, 0x212A, 0x212A);
        return;
      }
      previous_ = 0;
    }
    add_range(kind, code, code);
  }

  static void add_range(Class& kind, std::uint32_t first, std::uint32_t last) {
    for (std::uint32_t code = first; code <= last && code < 0x80; ++code) {
      kind.ascii[code >> 6] |= std::uint64_t{1} << (code & 63);
    }
    if (last >= 0x80) kind.ranges.emplace_back(std::max<std::uint32_t>(first, 0x80), last);
  }

  static void add_categories(Class& kind, std::uint32_t bits) {
    kind.categories |= bits;
    for (std::uint32_t code = 0; code < 0x80; ++code) {
      if (bits >> (category_table()[code] & kCategoryBits) & 1) add_range(kind, code, code);
    }
  }

  // After a backslash. A single character is returned, to be the start of a range.
  std::optional<std::uint32_t> escape(Class& kind, bool in_bracket) {
    if (at_.empty()) refuse("a \\ at the end");
    const char letter = at_[0];
    if (static_cast<Byte>(letter) >= 0x80) refuse("an escaped letter");
    at_.remove_prefix(1);
    const auto whole = [&](bool negated) {
      if (negated && in_bracket) refuse(std::string("\\") + letter + " in brackets");
      if (negated) kind.negated = true;
      return std::nullopt;
    };
    switch (letter) {
      case 's': case 'S':
        kind.space = true;
        for (std::uint32_t code : {9, 10, 11, 12, 13, 32}) add_range(kind, code, code);
        return whole(letter == 'S');
      case 'd': case 'D': add_categories(kind, 1u << kNd); return whole(letter == 'D');
      case 'w': case 'W':
        kind.word = true;
        for (std::uint32_t code = 0; code < 0x80; ++code) {
          if (category_table()[code] & kEngineWord) add_range(kind, code, code);
        }
        return whole(letter == 'W');
      case 'p': case 'P': {
        const std::size_t close = at_.find('}');
        if (at_.empty() || at_[0] != '{' || close == std::string_view::npos) refuse("\\p without braces");
        const std::uint32_t bits = categories_named(at_.substr(1, close - 1));
        if (!bits) refuse("\\p" + std::string(at_.substr(0, close + 1)));
        at_.remove_prefix(close + 1);
        add_categories(kind, bits);
        return whole(letter == 'P');
      }
      default: break;
    }
    std::uint32_t code = static_cast<Byte>(letter);
    if (letter == 'n') code = '\n';
    else if (letter == 'r') code = '\r';
    else if (letter == 't') code = '\t';
    else if (std::string_view("0123456789").find(letter) != std::string_view::npos || (code | 0x20) - 'a' < 26) {
      refuse(std::string("\\") + letter);
    }
    if (!in_bracket) add_letter(kind, code);
    return code;
  }

  Class bracket() {
    Class kind;
    kind.negated = take("^");
    if (starts("]")) refuse("an empty class");
    while (!take("]")) {
      if (at_.empty()) refuse("an unclosed [");
      if (starts("[") || starts("&&")) refuse("a class of classes");
      const std::optional<std::uint32_t> first = take("\\") ? escape(kind, true) : std::optional(character());
      if (!first) {
        if (starts("-") && !starts("-]")) refuse("a range from a class");
        continue;
      }
      if (!starts("-") || starts("-]")) {
        previous_ = 0;
        add_letter(kind, *first);
        continue;
      }
      at_.remove_prefix(1);
      if (any_case_) refuse("a range under (?i:)");
      if (at_.empty() || starts("[")) refuse("a range to a class");
      const std::optional<std::uint32_t> last = take("\\") ? escape(kind, true) : std::optional(character());
      if (!last || *last < *first) refuse("a range to a class");
      add_range(kind, *first, *last);
    }
    previous_ = 0;
    if (any_case_ && kind.negated) refuse("a negated class under (?i:)");
    return kind;
  }

  int add(Class kind) {
    regex_.classes_.push_back(std::move(kind));
    return static_cast<int>(regex_.classes_.size()) - 1;
  }

  std::string_view at_;
  Regex& regex_;
  bool any_case_ = false;
  char previous_ = 0;  // the letter before, under (?i:)
  int depth_ = 0, work_ = 0;
};

Regex::Regex(std::string_view pattern, Dialect dialect) : dialect_(dialect) {
  if (first_invalid(reinterpret_cast<const Byte*>(pattern.data()), pattern.size())) throw Unsupported("invalid UTF-8");
  RegexParser(pattern, *this).parse();
  for (Class& kind : classes_) kind.finish();
  add_first(0, 0);
}

void Regex::Class::finish() {
  if (negated) ascii = {~ascii[0], ~ascii[1]};
  for (int byte = 0; byte < 256; ++byte) in_bytes[byte] = holds(byte_alphabet()[byte]);
}

bool Regex::Class::holds_other(std::uint32_t code) const {
  const std::uint16_t value = category_table()[code];
  bool found = (categories >> (value & kCategoryBits) & 1) || (word && value & kEngineWord) || (space && is_space(code));
  for (auto range = ranges.begin(); !found && range != ranges.end(); ++range) {
    found = range->first <= code && code <= range->second;
  }
  return found != negated;
}

// What a match of the program from `place` on may begin with: the classes of its first repeats.
void Regex::add_first(int place, int depth) {
  for (; depth < 64; ++place, ++depth) {
    const Instruction& instruction = program_[place];
    switch (instruction.op) {
      case Op::match: break;
      case Op::jump: place = instruction.target - 1; continue;
      case Op::either: add_first(instruction.target, depth + 1); continue;
      case Op::line_end: continue;
      case Op::ahead: case Op::not_ahead: place = instruction.target - 1; continue;
      case Op::repeat: {
        const Class& kind = classes_[instruction.kind];
        for (int byte = 0; byte < 256; ++byte) first_in_bytes_[byte] |= kind.in_bytes[byte];
        for (std::uint32_t code = 0; code < 0x80; ++code) first_[code] |= kind.holds(code);
        // Two-byte characters are asked about, any longer one is possible.
        for (std::uint32_t code = 0x80; code < 0x800; ++code) first_[0xC0 | code >> 6] |= kind.holds(code);
        for (int lead = 0xE0; lead < 0x100; ++lead) first_[lead] = true;
        if (instruction.least == 0) continue;
        return;
      }
    }
    break;
  }
  first_.fill(true);
  first_in_bytes_.fill(true);
}

template <bool kBytes>
const Byte* Regex::run(int next, const Byte* at, const Byte* end, Stack& stack) const {
  const std::size_t bottom = stack.size();
  std::optional<std::unordered_set<std::uint64_t>> failed;
  const Byte* const start = at;
  const auto ahead = [](const Byte* place) { return place + (kBytes ? 1 : width_at(place)); };
  int backs = 0;
  for (;;) {
    const Instruction& instruction = program_[next];
    bool going = true;
    switch (instruction.op) {
      case Op::match: stack.resize(bottom); return at;
      case Op::jump: next = instruction.target; continue;
      case Op::either:
        stack.push_back({instruction.target, at, nullptr});
        ++next;
        continue;
      case Op::line_end: going = at == end || (dialect_ == Dialect::oniguruma && *at == '\n'); ++next; break;
      case Op::ahead: case Op::not_ahead: {
        const bool found = run<kBytes>(next + 1, at, end, stack) != nullptr;
        going = found == (instruction.op == Op::ahead);
        next = instruction.target;
        break;
      }
      case Op::repeat: {
        const Class& kind = classes_[instruction.kind];
        const Byte* least = instruction.least == 0 ? at : nullptr;
        for (std::uint32_t count = 0; count < instruction.most && at < end;) {
          if (!holds<kBytes>(kind, at)) break;
          at = ahead(at);
          if (++count == instruction.least) least = at;
        }
        ++next;
        going = least != nullptr;
        if (going && least < at && !instruction.possessive) stack.push_back({next, at, least});
        break;
      }
    }
    while (!going) {
      if (stack.size() == bottom) return nullptr;
      Frame& frame = stack.back();
      next = frame.next;
      if (frame.least) {
        at = frame.at = kBytes ? frame.at - 1 : character_before(frame.at);
        if (frame.at == frame.least) stack.pop_back();
      } else {
        at = frame.at;
        stack.pop_back();
      }
      // Failure depends on the instruction and the place alone: one place is tried once.
      if (++backs == kPatience) failed.emplace();
      going = backs < kPatience ||
              failed->insert(static_cast<std::uint64_t>(at - start) << 12 | static_cast<std::uint64_t>(next)).second;
    }
  }
}

template <bool kBytes>
Regex::Match Regex::find_as(const Byte* at, const Byte* end, Stack& stack) const {
  const auto ahead = [](const Byte* place) { return place + (kBytes ? 1 : width_at(place)); };
  const std::array<bool, 256>& first = kBytes ? first_in_bytes_ : first_;
  while (at < end) {
    if (!first[*at]) {
      at = ahead(at);
      continue;
    }
    if (const Byte* after = run<kBytes>(0, at, end, stack)) return {at, after};
    if (leading_class_ < 0) {
      at = ahead(at);
      continue;
    }
    // class+ and the rest failed here: it fails from every later place of the same run, which reaches no further.
    const Class& kind = classes_[leading_class_];
    const Byte* run_end = at;
    while (run_end < end && holds<kBytes>(kind, run_end)) run_end = ahead(run_end);
    at = run_end > at ? run_end : ahead(at);
  }
  return {end, end};
}

Regex::Match Regex::find(const Byte* at, const Byte* end, bool bytes, Stack& stack) const {
  return bytes ? find_as<true>(at, end, stack) : find_as<false>(at, end, stack);
}

}  // namespace jarvis::bpe

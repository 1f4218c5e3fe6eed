// Each step cuts a piece and hands every part on to the next step at once, so that nothing is stored but changed text.
#include "bpe_cut.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "bpe_blocks.h"

namespace jarvis::bpe {

namespace {

using Kind = CutStep::Kind;
using Behavior = CutStep::Behavior;

std::string_view view(const Byte* at, const Byte* end) {
  return {reinterpret_cast<const char*>(at), static_cast<std::size_t>(end - at)};
}

bool starts(const Byte* at, const Byte* end, const std::string& text) { return view(at, end).starts_with(text); }

bool in_class(Kind kind, std::uint32_t code) {
  switch (kind) {
    case Kind::digits: return category_table()[code] & kRustNumber;
    case Kind::punctuation: return category_table()[code] & kRustPunctuation;
    default: return is_space(code);
  }
}

// A kind of characters, asked quickly: by their byte in ASCII and in the byte alphabet.
struct QuickClass {
  std::array<bool, 0x80> ascii;
  std::array<bool, 256> in_bytes;
  explicit QuickClass(Kind kind) {
    for (std::uint32_t code = 0; code < 0x80; ++code) ascii[code] = in_class(kind, code);
    for (int byte = 0; byte < 256; ++byte) in_bytes[byte] = in_class(kind, byte_alphabet()[byte]);
  }
};

const QuickClass& quick_class(Kind kind) {
  static const QuickClass kDigits(Kind::digits), kPunctuation(Kind::punctuation), kSpace(Kind::space);
  return kind == Kind::digits ? kDigits : kind == Kind::punctuation ? kPunctuation : kSpace;
}

// The first match of a step in [at, end).
Regex::Match find(const CutStep& step, const Byte* at, const Byte* end, Regex::Stack& stack) {
  if (step.kind == Kind::regex) return step.regex->find(at, end, step.bytes, stack);
  if (step.kind == Kind::literal) {
    const std::size_t place = view(at, end).find(step.text);
    if (place == std::string_view::npos) return {end, end};
    return {at + place, at + place + step.text.size()};
  }
  const QuickClass& quick = quick_class(step.kind);
  if (step.bytes) {
    while (at < end && !quick.in_bytes[*at]) ++at;
    return {at, at < end ? at + 1 : end};
  }
  for (; at < end; at += width_at(at)) {
    if (*at < 0x80 ? quick.ascii[*at] : in_class(step.kind, code_at(at))) return {at, at + width_at(at)};
  }
  return {end, end};
}

// What becomes of matches and of what lies between them: the pieces, in order.
template <class Emit>
class Joiner {
 public:
  Joiner(Behavior behavior, Emit emit) : behavior_(behavior), emit_(emit) {}
  void add(const Byte* at, const Byte* end, bool match) {
    if (at == end) return;
    switch (behavior_) {
      case Behavior::removed:
        if (!match) emit_(at, end);
        return;
      case Behavior::isolated: emit_(at, end); return;
      case Behavior::contiguous:
        if (open_ && open_match_ == match) {
          open_end_ = end;
          return;
        }
        break;
      case Behavior::merged_with_previous:
        if (open_ && match && !open_match_) {
          open_end_ = end;
          open_match_ = true;
          return;
        }
        break;
      case Behavior::merged_with_next:
        if (open_ && open_match_ && !match) {
          open_end_ = end;
          open_match_ = false;
          return;
        }
        break;
    }
    finish();
    open_ = at;
    open_end_ = end;
    open_match_ = match;
  }
  void finish() {
    if (open_) emit_(open_, open_end_);
    open_ = nullptr;
  }

 private:
  Behavior behavior_;
  Emit emit_;
  const Byte *open_ = nullptr, *open_end_ = nullptr;
  bool open_match_ = false;
};

}  // namespace

Cutter::Cutter(std::vector<CutStep> steps) : steps_(std::move(steps)) {
  for (const CutStep& step : steps_) {
    const bool by_text = step.kind == Kind::literal || step.kind == Kind::before || step.kind == Kind::prefix ||
                         step.kind == Kind::metaspace;
    if (by_text && step.text.empty()) throw std::invalid_argument("a pre-tokenizer step without its text");
    if (step.kind == Kind::regex && !step.regex) throw std::invalid_argument("a pre-tokenizer step without its pattern");
  }
}

void Cutter::Scratch::shrink() {
  constexpr std::size_t kKept = 1 << 20;
  for (std::string& buffer : text) {
    if (buffer.capacity() > kKept) std::string().swap(buffer);
  }
  if (stack.capacity() > kKept / sizeof(Regex::Frame)) Regex::Stack().swap(stack);
}

std::optional<Pattern> Cutter::only_pattern() const {
  if (steps_.size() == 1 && steps_[0].kind == Kind::pattern) return steps_[0].pattern;
  return std::nullopt;
}

void Cutter::cut(Piece piece, Scratch& scratch, WordSink& sink) const {
  if (scratch.text.size() < steps_.size()) scratch.text.resize(steps_.size());
  if (piece.at < piece.end) run(0, piece, scratch, sink);
  sink.flush();
}

const std::string& Cutter::mark() const {
  static const std::string kNone;
  return joint() == Joint::space ? steps_[0].text : kNone;
}

namespace {

// Changed text, read from a buffer that has room to read on.
void read_from(std::string& text, Cutter::Piece& piece) {
  const std::size_t size = text.size();
  text.append(kPadding, '\0');
  piece.at = reinterpret_cast<const Byte*>(text.data());
  piece.end = piece.at + size;
  piece.readable = piece.end + kPadding;
}

}  // namespace

void Cutter::run(std::size_t place, Piece piece, Scratch& scratch, WordSink& sink) const {
  if (place == steps_.size()) return sink.word(piece.at, piece.end, piece.readable);
  const CutStep& step = steps_[place];
  switch (step.kind) {
    case Kind::pattern:
      if (place + 1 == steps_.size()) return sink.words(step.pattern, piece.at, piece.end, piece.readable);
      for (const Byte* at = piece.at; at < piece.end;) {
        const Byte* after = next_word(step.pattern, at, piece.end);
        run(place + 1, {at, after, piece.readable, piece.first && at == piece.at}, scratch, sink);
        at = after;
      }
      return;
    case Kind::words: return words(place, piece, scratch, sink);
    case Kind::before: return before(place, piece, scratch, sink);
    case Kind::prefix:
      if (!piece.continues && !starts(piece.at, piece.end, step.text)) {
        sink.flush();
        std::string& text = scratch.text[place];
        text.assign(step.text).append(view(piece.at, piece.end));
        read_from(text, piece);
      }
      piece.continues = false;
      return run(place + 1, piece, scratch, sink);
    case Kind::metaspace: {
      sink.flush();
      std::string& text = scratch.text[place];
      text.clear();
      const bool asked = step.prepend == CutStep::Prepend::always ||
                         (step.prepend == CutStep::Prepend::first && piece.first);
      if (asked && *piece.at != ' ' && !starts(piece.at, piece.end, step.text)) text = step.text;
      for (const Byte* at = piece.at; at < piece.end;) {
        const Byte* space = std::find(at, piece.end, static_cast<Byte>(' '));
        text.append(view(at, space));
        if (space < piece.end) text.append(step.text);
        at = space + (space < piece.end);
      }
      read_from(text, piece);
      return step.split ? split(place, piece, scratch, sink) : run(place + 1, piece, scratch, sink);
    }
    default: return split(place, piece, scratch, sink);
  }
}

void Cutter::split(std::size_t place, Piece piece, Scratch& scratch, WordSink& sink) const {
  CutStep step_of_metaspace{.kind = Kind::literal};
  const CutStep* step = &steps_[place];
  if (step->kind == Kind::metaspace) {
    step_of_metaspace.text = step->text;
    step_of_metaspace.behavior = Behavior::merged_with_next;
    step = &step_of_metaspace;
  }
  Joiner joiner(step->behavior, [&](const Byte* at, const Byte* end) {
    run(place + 1, {at, end, piece.readable, piece.first && at == piece.at}, scratch, sink);
  });
  for (const Byte* at = piece.at; at < piece.end;) {
    const Regex::Match match = find(*step, at, piece.end, scratch.stack);
    joiner.add(at, match.start, step->invert);
    joiner.add(match.start, match.end, !step->invert);
    at = match.end;
  }
  joiner.finish();
}

void Cutter::words(std::size_t place, Piece piece, Scratch& scratch, WordSink& sink) const {
  const CategoryTable& table = category_table();
  const auto kind_of = [&](std::uint32_t code) { return table[code] & kRustWord ? 1 : is_space(code) ? 0 : 2; };
  static const std::array<int, 0x80> kAscii = [&] {
    std::array<int, 0x80> kinds;
    for (std::uint32_t code = 0; code < 0x80; ++code) kinds[code] = kind_of(code);
    return kinds;
  }();
  const auto kind_at = [&](const Byte* at) { return *at < 0x80 ? kAscii[*at] : kind_of(code_at(at)); };
  for (const Byte* at = piece.at; at < piece.end;) {
    const int kind = kind_at(at);
    const Byte* after = at + width_at(at);
    while (after < piece.end && kind_at(after) == kind) after += width_at(after);
    if (kind) run(place + 1, {at, after, piece.readable, piece.first && at == piece.at}, scratch, sink);
    at = after;
  }
}

void Cutter::before(std::size_t place, Piece piece, Scratch& scratch, WordSink& sink) const {
  const std::string& text = steps_[place].text;
  for (const Byte* at = piece.at; at < piece.end;) {
    const Byte* after = at;
    while (after < piece.end && starts(after, piece.end, text)) after += text.size();
    const std::size_t found = view(after, piece.end).find(text);
    after = found == std::string_view::npos ? piece.end : after + found;
    run(place + 1, {at, after, piece.readable, piece.first && at == piece.at}, scratch, sink);
    at = after;
  }
}

std::size_t Cutter::most_bytes(std::size_t size) const {
  for (const CutStep& step : steps_) {
    // Every byte may be a piece of its own by then.
    if (step.kind == Kind::prefix) size *= 1 + step.text.size();
    if (step.kind == Kind::metaspace) size *= 2 * step.text.size();
  }
  return size;
}

Cutter::Joint Cutter::joint() const {
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const CutStep& step = steps_[i];
    switch (step.kind) {
      case Kind::pattern: case Kind::words: return Joint::line;
      case Kind::space: return step.behavior == Behavior::removed && !step.invert ? Joint::line : Joint::none;
      case Kind::metaspace: return i == 0 && step.split ? Joint::space : Joint::none;
      case Kind::before: return i == 0 ? Joint::space : Joint::none;
      // A piece is put apart or not by what it holds; on both sides of the joint nothing is held that changes that.
      case Kind::digits: case Kind::punctuation:
        if (step.behavior != Behavior::isolated && step.behavior != Behavior::contiguous) return Joint::none;
        continue;
      case Kind::prefix:
        if (i > 0) return Joint::none;
        continue;
      default: return Joint::none;
    }
  }
  return Joint::none;
}

}  // namespace jarvis::bpe

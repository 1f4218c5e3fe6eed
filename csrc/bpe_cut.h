// Pre-tokenizers: the steps that cut text into words before any merge, one after the other, each on the pieces of the
// one before. The usual single pattern does not come here: it has a scanner (bpe_scan.h) and its own loop.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bpe_regex.h"
#include "bpe_scan.h"

namespace jarvis::bpe {

struct CutStep {
  enum class Kind {
    pattern,      // the words of a scanner
    regex,        // the matches of an expression, and what lies between
    literal,      // the same for a text
    digits,       // and for single characters: numbers,
    punctuation,  // punctuation,
    space,        // white space
    words,        // \w+|[^\w\s]+, white space dropped
    before,       // cuts before `text` where it follows anything else: never through a token, known beforehand
    prefix,       // puts `text` before a piece that does not begin with it
    metaspace,    // spaces become `text`, which is put before a piece that does not begin with it
  };
  enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };
  enum class Prepend { always, first, never };  // metaspace; first: only at the beginning of the whole text
  Kind kind;
  Behavior behavior = Behavior::isolated;
  bool invert = false;                           // what lies between the matches is what the behavior is about
  bool bytes = false;                            // the text is seen in the byte alphabet: the step follows ByteLevel
  Pattern pattern = Pattern::gpt2;
  std::string text;
  Prepend prepend = Prepend::always;
  bool split = true;                             // metaspace: cut before each `text`
  std::shared_ptr<const Regex> regex;
};

// What takes the words.
class WordSink {
 public:
  // One word; the text may be read up to `readable`.
  virtual void word(const Byte* at, const Byte* after, const Byte* readable) = 0;
  // All the words of a pattern.
  virtual void words(Pattern pattern, const Byte* at, const Byte* end, const Byte* readable) = 0;
  // The text of the words so far is about to change.
  virtual void flush() = 0;

 protected:
  ~WordSink() = default;
};

class Cutter {
 public:
  Cutter() = default;
  explicit Cutter(std::vector<CutStep> steps);
  // Scratch of one caller.
  struct Scratch {
    std::vector<std::string> text;
    Regex::Stack stack;
    void shrink();
  };
  // The one pattern that is all there is to do, if so.
  std::optional<Pattern> only_pattern() const;
  struct Piece {
    const Byte *at, *end;
    const Byte* readable;   // up to where the text may be read
    bool first;             // begins the whole text
    bool continues = false;  // what comes before it was cut off at a joint
  };
  // Hands the words of a piece to the sink, in order, and flushes it.
  void cut(Piece piece, Scratch& scratch, WordSink& sink) const;
  // At most how many bytes the words of a piece of `size` bytes have together.
  std::size_t most_bytes(std::size_t size) const;
  // Where a long text may be cut beforehand: at an ASCII letter after one newline, or at a space after an ASCII letter.
  enum class Joint { none, line, space };
  Joint joint() const;
  // What a space becomes for the joint at a space to hold; empty if that does not matter.
  const std::string& mark() const;
  bool empty() const { return steps_.empty(); }

 private:
  void run(std::size_t step, Piece piece, Scratch& scratch, WordSink& sink) const;
  void split(std::size_t step, Piece piece, Scratch& scratch, WordSink& sink) const;
  void words(std::size_t step, Piece piece, Scratch& scratch, WordSink& sink) const;
  void before(std::size_t step, Piece piece, Scratch& scratch, WordSink& sink) const;
  std::vector<CutStep> steps_;
};

}  // namespace jarvis::bpe

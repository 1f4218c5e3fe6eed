// Normalizers: text to the text that is cut into words, as the tokenizers library's. kernels/bpe/reference.py calls the
// library's own; the tables come from it too (make_normalization_tables.py).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "bpe_utf8.h"

namespace jarvis::bpe {

struct NormalizerStep {
  enum class Kind { nfc, nfd, nfkc, nfkd, lowercase, prepend, replace, strip, strip_accents };
  Kind kind;
  std::string from, to;           // replace: from, never empty, becomes to; prepend: to
  bool left = false, right = false;  // strip: on which sides
};

// The step kind of that name; std::invalid_argument if there is none.
NormalizerStep::Kind normalizer_named(const std::string& name);

class Normalizer {
 public:
  Normalizer() = default;
  explicit Normalizer(std::vector<NormalizerStep> steps);
  bool empty() const { return steps_.empty(); }
  // Scratch of one caller: what `apply` returned may lie here until its next call.
  struct Buffers {
    std::string text[2];
    std::vector<std::uint64_t> codes;
    std::vector<std::uint32_t> kept;
    void shrink();
  };
  // Valid UTF-8, normalized: the text itself where it is so already.
  std::string_view apply(std::string_view text, Buffers& buffers) const;
  // At most how many bytes a text of `size` bytes becomes.
  std::size_t most_bytes(std::size_t size, std::size_t pieces) const;
  // Whether a text may be normalized in parts that begin at an ASCII letter after a newline, or at a space after an ASCII
  // letter; `mark`, if any, is what a space may become.
  bool in_parts(const std::string& mark) const;
  // The normalizer of a part that is not the first.
  Normalizer later_parts() const;

 private:
  std::vector<NormalizerStep> steps_;
};

}  // namespace jarvis::bpe

// All words of a text at once, by vector masks over blocks of 64 bytes. bpe_scan.h has the same scanners by character.
#pragma once

#include "bpe_scan.h"

namespace jarvis::bpe {

// The blocks are read whole, and words as 16 bytes: this many bytes past the end of a text must be readable.
inline constexpr std::size_t kPadding = 64;

// Writes where each word of valid UTF-8 begins, then `size`; how many words there are. `starts` has room for size + 72.
using WordStarts = std::size_t (*)(const Byte* text, std::size_t size, std::uint32_t* starts);

// The function for a pattern on this processor: by blocks where there is one, else by character.
WordStarts word_starts(Pattern pattern);

// Null for a pattern that has no masks.
namespace avx2 {
WordStarts word_starts(Pattern pattern);
}
namespace avx512 {
WordStarts word_starts(Pattern pattern);
}

}  // namespace jarvis::bpe

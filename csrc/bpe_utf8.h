// UTF-8: checking it, and writing Python's own string storage as it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace jarvis::bpe {

using Byte = unsigned char;

// The offset of the first byte that is not UTF-8 (overlong forms and surrogates are not), or nothing.
std::optional<std::size_t> first_invalid(const Byte* text, std::size_t size);

// Writes Python's own string storage (1, 2 or 4 bytes a character) as UTF-8, at most 2, 3 or 4 bytes a character.
// The end of what was written; std::invalid_argument names the first lone surrogate.
template <class Unit>
Byte* to_utf8(const Unit* text, std::size_t length, Byte* out);

}  // namespace jarvis::bpe

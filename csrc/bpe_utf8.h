// UTF-8: checking it, and writing Python's own string storage as it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace jarvis::bpe {

using Byte = unsigned char;

// The offset of the first byte that is not UTF-8 (overlong forms and surrogates are not), or nothing.
std::optional<std::size_t> first_invalid(const Byte* text, std::size_t size);

// Writes `length` units of Python's string storage (1, 2 or 4 bytes each) as UTF-8, at most 2, 3 or 4 bytes each, and
// may write kUtf8Slack bytes more. Stops at a lone surrogate. The unit where it stopped, the end of what was written.
inline constexpr std::size_t kUtf8Slack = 64;
struct Written {
  std::size_t units;
  Byte* end;
};
Written to_utf8(const std::uint8_t* text, std::size_t length, Byte* out);
Written to_utf8(const std::uint16_t* text, std::size_t length, Byte* out);
Written to_utf8(const std::uint32_t* text, std::size_t length, Byte* out);

namespace avx2 {
// As many whole steps of the above as there are: stops before what is left to the code for any processor.
std::size_t valid_blocks(const Byte* text, std::size_t size);
Written to_utf8(const std::uint8_t* text, std::size_t length, Byte* out);
Written to_utf8(const std::uint16_t* text, std::size_t length, Byte* out);
Written to_utf8(const std::uint32_t* text, std::size_t length, Byte* out);
}  // namespace avx2
namespace avx512 {
Written to_utf8(const std::uint8_t* text, std::size_t length, Byte* out);
Written to_utf8(const std::uint16_t* text, std::size_t length, Byte* out);
Written to_utf8(const std::uint32_t* text, std::size_t length, Byte* out);
}  // namespace avx512

}  // namespace jarvis::bpe

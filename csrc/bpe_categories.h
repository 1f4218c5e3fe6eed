// The general category of each character, and the classes that pre-tokenizers know, as the tokenizers library has them.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "bpe_utf8.h"
#include "category_tables.h"

namespace jarvis::bpe {

inline constexpr std::uint16_t kCategoryBits = 31;

// category | flags of each code point, in two steps: 256 code points a block, blocks without any shared.
class CategoryTable {
 public:
  CategoryTable();
  std::uint16_t operator[](std::uint32_t code) const { return blocks_[block_[code >> 8]][code & 0xFF]; }

 private:
  std::array<std::uint16_t, 0x1100> block_{};
  std::vector<std::array<std::uint16_t, 256>> blocks_;
};
const CategoryTable& category_table();

inline int width_at(const Byte* at) { return *at < 0x80 ? 1 : *at < 0xE0 ? 2 : *at < 0xF0 ? 3 : 4; }

// The character of valid UTF-8 here.
inline std::uint32_t code_at(const Byte* at) {
  if (*at < 0x80) return *at;
  if (*at < 0xE0) return (at[0] & 0x1Fu) << 6 | (at[1] & 0x3Fu);
  if (*at < 0xF0) return (at[0] & 0x0Fu) << 12 | (at[1] & 0x3Fu) << 6 | (at[2] & 0x3Fu);
  return (at[0] & 0x07u) << 18 | (at[1] & 0x3Fu) << 12 | (at[2] & 0x3Fu) << 6 | (at[3] & 0x3Fu);
}

inline const Byte* character_before(const Byte* at) {
  do --at;
  while ((*at & 0xC0) == 0x80);
  return at;
}

// White space: the same set to the regex engine, the regex crate and Rust's char.
inline bool is_space(std::uint32_t code) {
  if (code < 0x80) return code == ' ' || (code >= 9 && code <= 13);
  if (code == 0x85) return true;
  const int category = category_table()[code] & kCategoryBits;
  return category >= kZs && category <= kZp;
}

// The characters that stand for bytes in a byte-level vocabulary (GPT-2, 2019).
const std::array<std::uint32_t, 256>& byte_alphabet();

}  // namespace jarvis::bpe

// Builds the table of categories from its ranges.
#include "bpe_categories.h"

namespace jarvis::bpe {

CategoryTable::CategoryTable() : blocks_(1) {
  for (const CategoryRange& range : kCategories) {
    for (std::uint32_t code = range.first; code <= range.last; ++code) {
      if (block_[code >> 8] == 0) {
        block_[code >> 8] = static_cast<std::uint16_t>(blocks_.size());
        blocks_.emplace_back();
      }
      blocks_[block_[code >> 8]][code & 0xFF] = range.value;
    }
  }
}

const CategoryTable& category_table() {
  static const CategoryTable table;
  return table;
}

const std::array<std::uint32_t, 256>& byte_alphabet() {
  static const std::array<std::uint32_t, 256> alphabet = [] {
    std::array<std::uint32_t, 256> codes{};
    std::uint32_t spare = 0x100;
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
      codes[byte] = printable ? byte : spare++;
    }
    return codes;
  }();
  return alphabet;
}

}  // namespace jarvis::bpe

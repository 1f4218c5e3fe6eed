// Characters: their classes, white space, and the scanners for callers without an encoder.
#include "bpe_scan.h"

#include <algorithm>
#include <map>
#include <stdexcept>

#include "bpe_blocks.h"
#include "cpu_choice.h"

namespace jarvis::bpe {

CharacterTable::CharacterTable() {
  std::vector<Byte> flat(0x110000, kOther);
  for (const CharacterRange& range : kCharacterRanges) {
    std::fill(flat.begin() + range.first, flat.begin() + range.last + 1, static_cast<Byte>(range.kind));
  }
  std::map<std::array<Byte, 256>, std::uint16_t> known;
  for (std::size_t i = 0; i < block.size(); ++i) {
    std::array<Byte, 256> content;
    std::copy_n(flat.begin() + 256 * i, 256, content.begin());
    const auto [entry, is_new] = known.try_emplace(content, static_cast<std::uint16_t>(blocks.size()));
    if (is_new) blocks.push_back(content);
    block[i] = entry->second;
  }
}

const CharacterTable& character_table() {
  static const CharacterTable table;
  return table;
}

const ClassTable& class_table() {
  static const ClassTable table{character_table().block.data(),
                                reinterpret_cast<const Byte(*)[256]>(character_table().blocks.data())};
  return table;
}

Pattern pattern_named(const std::string& name) {
  static const std::pair<const char*, Pattern> kNames[] = {{"french", Pattern::french}, {"gpt2", Pattern::gpt2},
                                                           {"llama3", Pattern::llama3}, {"qwen2", Pattern::qwen2},
                                                           {"bloom", Pattern::bloom}, {"o200k", Pattern::o200k},
                                                           {"tekken", Pattern::tekken}};
  for (const auto& [known, pattern] : kNames) {
    if (name == known) return pattern;
  }
  throw std::invalid_argument("no scanner named " + name);
}

const Byte* next_word(Pattern pattern, const Byte* at, const Byte* end) {
  switch (pattern) {
    case Pattern::french: return Scanner<Pattern::french>(end).next(at);
    case Pattern::gpt2: return Scanner<Pattern::gpt2>(end).next(at);
    case Pattern::llama3: return Scanner<Pattern::llama3>(end).next(at);
    case Pattern::qwen2: return Scanner<Pattern::qwen2>(end).next(at);
    case Pattern::bloom: return Scanner<Pattern::bloom>(end).next(at);
    case Pattern::o200k: return Scanner<Pattern::o200k>(end).next(at);
    case Pattern::tekken: return Scanner<Pattern::tekken>(end).next(at);
  }
  return end;
}

namespace {

template <Pattern kPattern>
std::size_t by_character(const Byte* text, std::size_t size, std::uint32_t* starts) {
  const Scanner<kPattern> scanner(text + size);
  std::size_t words = 0;
  for (const Byte* at = text; at < text + size; at = scanner.next(at)) starts[words++] = at - text;
  starts[words] = static_cast<std::uint32_t>(size);
  return words;
}

}  // namespace

WordStarts word_starts(Pattern pattern) {
#ifdef JARVIS_AVX512_BEGIN
  if (use_avx512()) {
    if (const WordStarts by_blocks = avx512::word_starts(pattern)) return by_blocks;
  }
#endif
#ifdef JARVIS_AVX2_BEGIN
  if (use_avx2()) {
    if (const WordStarts by_blocks = avx2::word_starts(pattern)) return by_blocks;
  }
#endif
  switch (pattern) {
    case Pattern::french: return by_character<Pattern::french>;
    case Pattern::gpt2: return by_character<Pattern::gpt2>;
    case Pattern::llama3: return by_character<Pattern::llama3>;
    case Pattern::qwen2: return by_character<Pattern::qwen2>;
    case Pattern::bloom: return by_character<Pattern::bloom>;
    case Pattern::o200k: return by_character<Pattern::o200k>;
    case Pattern::tekken: return by_character<Pattern::tekken>;
  }
  return nullptr;
}

namespace {

bool continues(Byte byte) { return (byte & 0xC0) == 0x80; }

// Space, tab to carriage return, U+0085, U+00A0, U+1680, U+2000..200A, 2028, 2029, 202F, 205F, 3000.
int space_width(const Byte* at) {
  const int width = *at < 0x80 ? 1 : *at < 0xE0 ? 2 : *at < 0xF0 ? 3 : 4;
  std::uint32_t code = *at;
  if (width == 2) code = (at[0] & 0x1Fu) << 6 | (at[1] & 0x3Fu);
  if (width == 3) code = (at[0] & 0x0Fu) << 12 | (at[1] & 0x3Fu) << 6 | (at[2] & 0x3Fu);
  return width != 4 && character_table()[code] == kSpace ? width : 0;
}

}  // namespace

const Byte* spaces_before(const Byte* from, const Byte* end) {
  while (end > from) {
    const Byte* last = end - 1;
    while (last > from && continues(*last)) --last;
    if (!space_width(last)) break;
    end = last;
  }
  return end;
}

const Byte* spaces_after(const Byte* at, const Byte* end) {
  while (at < end) {
    const int width = space_width(at);
    if (!width) break;
    at += width;
  }
  return at;
}

}  // namespace jarvis::bpe

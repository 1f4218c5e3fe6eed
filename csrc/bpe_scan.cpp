// Characters: their classes, UTF-8 checked and written, white space, and the scanners for callers without an encoder.
#include "bpe_scan.h"

#include <algorithm>
#include <map>

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

Pattern pattern_named(const std::string& name) {
  static const std::pair<const char*, Pattern> kNames[] = {{"french", Pattern::french}, {"gpt2", Pattern::gpt2},
                                                           {"llama3", Pattern::llama3}, {"qwen2", Pattern::qwen2},
                                                           {"bloom", Pattern::bloom}};
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
  }
  return end;
}

namespace {

bool continues(Byte byte) { return (byte & 0xC0) == 0x80; }

// The width of the valid character here, 0 if there is none (RFC 3629: table 3-7 of the Unicode standard).
int valid_width(const Byte* at, const Byte* end) {
  const auto left = end - at;
  const Byte lead = *at;
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  if (lead < 0xE0) return left >= 2 && continues(at[1]) ? 2 : 0;
  if (lead < 0xF0) {
    if (left < 3 || !continues(at[1]) || !continues(at[2])) return 0;
    if (lead == 0xE0 && at[1] < 0xA0) return 0;  // overlong
    return lead == 0xED && at[1] > 0x9F ? 0 : 3;  // surrogates
  }
  if (left < 4 || !continues(at[1]) || !continues(at[2]) || !continues(at[3])) return 0;
  if (lead == 0xF0 && at[1] < 0x90) return 0;
  return lead == 0xF4 && at[1] > 0x8F ? 0 : 4;
}

// How many of the next units are ASCII, a multiple of what fits 8 bytes.
template <class Unit>
std::size_t ascii_ahead(const Unit* text, std::size_t length) {
  constexpr std::size_t kStep = 8 / sizeof(Unit);
  constexpr std::uint64_t kHigh = sizeof(Unit) == 1   ? 0x8080808080808080u
                                  : sizeof(Unit) == 2 ? 0xFF80FF80FF80FF80u
                                                      : 0xFFFFFF80FFFFFF80u;
  std::size_t done = 0;
  for (std::uint64_t units; done + kStep <= length; done += kStep) {
    std::memcpy(&units, text + done, 8);
    if (units & kHigh) break;
  }
  return done;
}

}  // namespace

std::optional<std::size_t> first_invalid(const Byte* text, std::size_t size) {
  const Byte* end = text + size;
  for (const Byte* at = text; at < end;) {
    at += ascii_ahead(at, end - at);
    if (at == end) break;
    const int width = valid_width(at, end);
    if (width == 0) return at - text;
    at += width;
  }
  return std::nullopt;
}

template <class Unit>
Byte* to_utf8(const Unit* text, std::size_t length, Byte* out) {
  for (std::size_t i = 0; i < length;) {
    const std::size_t ascii = ascii_ahead(text + i, length - i);
    out = std::copy_n(text + i, ascii, out);
    i += ascii;
    if (i == length) break;
    const std::uint32_t code = text[i++];
    if (code < 0x80) {
      *out++ = static_cast<Byte>(code);
    } else if (code < 0x800) {
      *out++ = static_cast<Byte>(0xC0 | code >> 6);
      *out++ = static_cast<Byte>(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
      if (code >= 0xD800 && code < 0xE000) {
        char name[5];
        std::snprintf(name, sizeof name, "%04X", code);
        throw std::invalid_argument("lone surrogate U+" + std::string(name) + " at character " + std::to_string(i - 1) +
                                    ": not UTF-8");
      }
      *out++ = static_cast<Byte>(0xE0 | code >> 12);
      *out++ = static_cast<Byte>(0x80 | (code >> 6 & 0x3F));
      *out++ = static_cast<Byte>(0x80 | (code & 0x3F));
    } else {
      *out++ = static_cast<Byte>(0xF0 | code >> 18);
      *out++ = static_cast<Byte>(0x80 | (code >> 12 & 0x3F));
      *out++ = static_cast<Byte>(0x80 | (code >> 6 & 0x3F));
      *out++ = static_cast<Byte>(0x80 | (code & 0x3F));
    }
  }
  return out;
}

template Byte* to_utf8(const std::uint8_t*, std::size_t, Byte*);
template Byte* to_utf8(const std::uint16_t*, std::size_t, Byte*);
template Byte* to_utf8(const std::uint32_t*, std::size_t, Byte*);

namespace {

// Space, tab to carriage return, U+0085, U+00A0, U+1680, U+2000..200A, 2028, 2029, 202F, 205F, 3000.
int space_width(const Byte* at, const Byte* end) {
  const int width = valid_width(at, end);
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
    if (!space_width(last, end)) break;
    end = last;
  }
  return end;
}

const Byte* spaces_after(const Byte* at, const Byte* end) {
  while (at < end) {
    const int width = space_width(at, end);
    if (!width) break;
    at += width;
  }
  return at;
}

}  // namespace jarvis::bpe

// UTF-8 checked and written.
#include "bpe_utf8.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>

namespace jarvis::bpe {

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

}  // namespace jarvis::bpe

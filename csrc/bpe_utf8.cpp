// UTF-8 checked and written, a character at a time; by vectors in front where the processor has them.
#include "bpe_utf8.h"

#include <algorithm>
#include <cstring>

#include "cpu_choice.h"

namespace jarvis::bpe {

namespace {

constexpr std::size_t kScalarUnits = 64;  // written one by one where the vectors stopped, before they try again

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

// How many bytes of ASCII come next, a multiple of 8.
std::size_t ascii_ahead(const Byte* text, std::size_t size) {
  std::size_t done = 0;
  for (std::uint64_t bytes; done + 8 <= size; done += 8) {
    std::memcpy(&bytes, text + done, 8);
    if (bytes & 0x8080808080808080u) break;
  }
  return done;
}

// The bytes of one code point; null if it is a surrogate.
Byte* write(std::uint32_t code, Byte* out) {
  if (code < 0x80) {
    *out++ = static_cast<Byte>(code);
    return out;
  }
  if (code < 0x800) {
    *out++ = static_cast<Byte>(0xC0 | code >> 6);
  } else {
    if (code >= 0xD800 && code < 0xE000) return nullptr;
    if (code < 0x10000) {
      *out++ = static_cast<Byte>(0xE0 | code >> 12);
    } else {
      *out++ = static_cast<Byte>(0xF0 | code >> 18);
      *out++ = static_cast<Byte>(0x80 | (code >> 12 & 0x3F));
    }
    *out++ = static_cast<Byte>(0x80 | (code >> 6 & 0x3F));
  }
  *out++ = static_cast<Byte>(0x80 | (code & 0x3F));
  return out;
}

// As much as the vectors of this processor can write.
template <class Unit>
Written write_vectors(const Unit* text, std::size_t length, Byte* out) {
#ifdef JARVIS_AVX512_BEGIN
  if (use_avx512()) return avx512::to_utf8(text, length, out);
#endif
#ifdef JARVIS_AVX2_BEGIN
  if (use_avx2()) return avx2::to_utf8(text, length, out);
#endif
  return {0, out};
}

template <class Unit>
Written write_all(const Unit* text, std::size_t length, Byte* out) {
  for (std::size_t at = 0; at < length;) {
    const Written done = write_vectors(text + at, length - at, out);
    at += done.units;
    out = done.end;
    const std::size_t upto = std::min(length, at + kScalarUnits);
    for (; at < upto; ++at) {
      Byte* const end = write(text[at], out);
      if (!end) return {at, out};
      out = end;
    }
  }
  return {length, out};
}

}  // namespace

std::optional<std::size_t> first_invalid(const Byte* text, std::size_t size) {
  const Byte* end = text + size;
  const Byte* at = text;
#ifdef JARVIS_AVX2_BEGIN
  if (use_avx2()) at += avx2::valid_blocks(text, size);
#endif
  while (at < end) {
    at += ascii_ahead(at, end - at);
    if (at == end) break;
    const int width = valid_width(at, end);
    if (width == 0) return at - text;
    at += width;
  }
  return std::nullopt;
}

Written to_utf8(const std::uint8_t* text, std::size_t length, Byte* out) { return write_all(text, length, out); }
Written to_utf8(const std::uint16_t* text, std::size_t length, Byte* out) { return write_all(text, length, out); }
Written to_utf8(const std::uint32_t* text, std::size_t length, Byte* out) { return write_all(text, length, out); }

}  // namespace jarvis::bpe

// The scanners of bpe_scan.h by vector masks: 64 bytes are classified at once, and where words begin is arithmetic on
// 64-bit masks, a bit a byte. What the masks do not know (a few rare characters) is left to the scanner by character,
// which can take over at any word's beginning, for no pattern looks back.
#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "bpe_blocks.h"
#include "cpu_choice.h"

#ifdef JARVIS_AVX2_BEGIN
JARVIS_AVX2_BEGIN
namespace jarvis::bpe::avx2 {
namespace {

using Mask = std::uint64_t;

// Bit i: what the byte at i belongs to. Every byte of a character has its class; past the end all is white space.
struct Block {
  Mask letter, number, space;
  Mask other;       // none of the three
  Mask line;        // \n \r
  Mask blank;       // the space itself
  Mask inside;      // not the first byte of a character
  Mask apostrophe;  // '
  Mask quote;       // ’, its first byte (french)
  Mask hyphen;      // (french)
  Mask d, r;        // (french) for aujourd'hui
  Mask suffix;      // a letter that may follow an apostrophe in a contraction
  Mask strange;     // first bytes of what the masks cannot tell
};

// Classes that a character of the block before gives to the first bytes of this one.
struct Spill {
  Mask letter = 0, number = 0, space = 0, known = 0;
};

struct Bytes {
  __m256i low, high;
};

template <class Test>
inline Mask mask(const Bytes& bytes, const Test& test) {
  const auto low = static_cast<std::uint32_t>(_mm256_movemask_epi8(test(bytes.low)));
  const auto high = static_cast<std::uint32_t>(_mm256_movemask_epi8(test(bytes.high)));
  return low | Mask{high} << 32;
}
inline __m256i same(__m256i bytes, int value) {
  return _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(static_cast<char>(value)));
}
// Bytes in [first, first + count).
inline __m256i within(__m256i bytes, int first, int count) {
  const __m256i from = _mm256_sub_epi8(bytes, _mm256_set1_epi8(static_cast<char>(first)));
  return _mm256_cmpeq_epi8(_mm256_min_epu8(from, _mm256_set1_epi8(static_cast<char>(count - 1))), from);
}

// The mask one byte later and one to three bytes earlier, with what the neighbouring block brings in.
inline Mask before(Mask mask, Mask previous) { return mask << 1 | previous >> 63; }
inline Mask after(Mask mask, Mask next, int bytes = 1) { return mask >> bytes | next << (64 - bytes); }

inline constexpr bool is_llama(Pattern pattern) { return pattern == Pattern::llama3 || pattern == Pattern::qwen2; }

// s t m d, and the first of ll ve re; with capitals for llama3. By the halves of the byte: columns 4, 6 and 5, 7.
template <Pattern kPattern>
inline Mask suffixes(const Bytes& bytes) {
  const __m256i by_low = _mm256_setr_epi8(0, 0, 2, 2, 3, 0, 2, 0, 0, 0, 0, 0, 1, 1, 0, 0,  //
                                          0, 0, 2, 2, 3, 0, 2, 0, 0, 0, 0, 0, 1, 1, 0, 0);
  constexpr char kCapital4 = is_llama(kPattern) ? 1 : 0, kCapital5 = is_llama(kPattern) ? 2 : 0;
  const __m256i by_high = _mm256_setr_epi8(0, 0, 0, 0, kCapital4, kCapital5, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0,  //
                                           0, 0, 0, 0, kCapital4, kCapital5, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0);
  const Mask none = mask(bytes, [&](__m256i x) {
    const __m256i half = _mm256_and_si256(_mm256_srli_epi16(x, 4), _mm256_set1_epi8(15));
    const __m256i both = _mm256_and_si256(_mm256_shuffle_epi8(by_low, x), _mm256_shuffle_epi8(by_high, half));
    return _mm256_cmpeq_epi8(both, _mm256_setzero_si256());
  });
  Mask found = ~none;
  // ſ is C5 BF, and the engine takes it for an s.
  if constexpr (is_llama(kPattern)) found |= mask(bytes, [](__m256i x) { return same(x, 0xC5); });
  return found;
}

inline std::uint32_t code_at(const Byte* at, int width) {
  if (width == 2) return (at[0] & 0x1Fu) << 6 | (at[1] & 0x3Fu);
  if (width == 3) return (at[0] & 0x0Fu) << 12 | (at[1] & 0x3Fu) << 6 | (at[2] & 0x3Fu);
  return (at[0] & 0x07u) << 18 | (at[1] & 0x3Fu) << 12 | (at[2] & 0x3Fu) << 6 | (at[3] & 0x3Fu);
}

// Characters beyond ASCII. Two-byte Latin letters (leads C3 to C5, but × and ÷) by masks, the others one by one.
template <Pattern kPattern>
inline void classify_others(const Bytes& bytes, const Byte* text, Mask high, const ClassTable& classes, Spill& spill,
                            Block& block) {
  block.inside = mask(bytes, [](__m256i x) { return _mm256_cmpgt_epi8(_mm256_set1_epi8(-64), x); });
  const Mask last = Mask{1} << 63;  // a lead there has its second byte in the next block: one by one
  const Mask lead = mask(bytes, [](__m256i x) { return within(x, 0xC3, 3); }) & ~last;
  const Mask crosses = mask(bytes, [](__m256i x) { return _mm256_or_si256(same(x, 0x97), same(x, 0xB7)); }) &
                       mask(bytes, [](__m256i x) { return same(x, 0xC3); }) << 1;
  const Mask latin = (lead | lead << 1) & ~(crosses | crosses >> 1);
  block.letter |= latin | spill.letter;
  block.number |= spill.number;
  block.space |= spill.space;
  Mask rest = high & ~block.inside & ~latin;
  spill = {};
  for (; rest; rest &= rest - 1) {
    const int at = __builtin_ctzll(rest);
    const Byte* character = text + at;
    const int width = *character < 0xE0 ? 2 : *character < 0xF0 ? 3 : 4;
    const std::uint32_t code = code_at(character, width);
    const Byte kind = classes.of(code);
    const Mask one = (Mask{1} << width) - 1;
    const Mask here = one << at, there = at + width > 64 ? one >> (64 - at) : 0;
    if (kind & kLetter) block.letter |= here, spill.letter |= there;
    if (kind & kNumber) block.number |= here, spill.number |= there;
    if (kind & kSpace) block.space |= here, spill.space |= there;
    if constexpr (kPattern == Pattern::french) {
      if (code == 0x2019) block.quote |= Mask{1} << at;
      if (kind & kMark) block.strange |= Mask{1} << at;
    }
    if constexpr (kPattern == Pattern::llama3) {
      if (kind & kNumber) block.strange |= Mask{1} << at;
    }
  }
}

// The classes of the 64 bytes at `text`, of which `left` belong to it.
template <Pattern kPattern>
inline void classify(const Byte* text, std::size_t left, const ClassTable& classes, Spill& spill, Block& block) {
  const Bytes bytes{_mm256_loadu_si256(reinterpret_cast<const __m256i*>(text)),
                    _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text + 32))};
  block.letter = mask(bytes, [](__m256i x) { return within(_mm256_or_si256(x, _mm256_set1_epi8(0x20)), 'a', 26); });
  block.number = mask(bytes, [](__m256i x) { return within(x, '0', 10); });
  block.blank = mask(bytes, [](__m256i x) { return same(x, ' '); });
  block.space = block.blank | mask(bytes, [](__m256i x) { return within(x, '\t', 5); });
  block.apostrophe = mask(bytes, [](__m256i x) { return same(x, '\''); });
  if constexpr (kPattern != Pattern::gpt2) {
    block.line = mask(bytes, [](__m256i x) { return _mm256_or_si256(same(x, '\n'), same(x, '\r')); });
  }
  if constexpr (kPattern == Pattern::french) {
    block.hyphen = mask(bytes, [](__m256i x) { return same(x, '-'); });
    block.d = mask(bytes, [](__m256i x) { return same(x, 'd'); });
    block.r = mask(bytes, [](__m256i x) { return same(x, 'r'); });
  } else {
    block.suffix = suffixes<kPattern>(bytes);
  }
  block.inside = block.quote = block.strange = 0;
  const Mask valid = left < 64 ? (Mask{1} << left) - 1 : ~Mask{0};
  const Mask high = mask(bytes, [](__m256i x) { return x; }) & valid;
  if (high) classify_others<kPattern>(bytes, text, high, classes, spill, block);
  if (left < 64) {
    for (Mask* each : {&block.letter, &block.number, &block.line, &block.blank, &block.inside, &block.strange}) {
      *each &= valid;
    }
    block.space |= ~valid;
  }
  block.other = ~(block.letter | block.number | block.space);
}

// A block past the end: white space, and nothing else.
inline Block nothing() {
  Block block{};
  block.space = ~Mask{0};
  return block;
}

// The first bytes of white-space characters that something else follows. `space` without the other classes of space.
inline Mask last_spaces(const Block& block, const Block& next, Mask space) {
  const Mask follows = after(block.space, next.space);
  const Mask wide = space & after(block.inside, next.inside);  // of several bytes: rarely any
  Mask found = space & ~block.inside & ~follows;
  if (wide & ~block.inside) {
    const Mask leads = wide & ~block.inside;
    const Mask third = after(block.inside, next.inside, 2);
    found &= ~leads;
    found |= leads & ~third & ~after(block.space, next.space, 2);
    found |= leads & third & ~after(block.space, next.space, 3);
  }
  return found;
}

// What a block leaves to the next one, besides its masks.
struct Carry {
  Mask other = 0, letter = 0, number = 0, space = 0, blank = 0, apart = 0, line = 0, hyphen = 0, joint = 0;
  Mask r = 0, rd = 0;
  Mask set = 0, clear = 0;  // beginnings to add to and to take from the next block
  bool absorbing = false;   // the block ended in new lines that belong to the marks before them
  int digits = 0;           // how many digits since the last beginning, if the block ended in a run of them
};

// Bytes of a contraction after the apostrophe, 0 if there is none. `at` may be the end.
template <Pattern kPattern>
inline std::size_t contraction(const Byte* at, std::size_t left) {
  constexpr Byte kFold = is_llama(kPattern) ? 0x20 : 0;
  if (left == 0) return 0;
  const Byte first = *at | kFold;
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 1;
  if (left < 2) return 0;
  if (is_llama(kPattern) && at[0] == 0xC5 && at[1] == 0xBF) return 2;
  const Byte second = at[1] | kFold;
  return (first == 'l' && second == 'l') || ((first == 'r' || first == 'v') && second == 'e') ? 2 : 0;
}

// Where each digit run of llama3 is cut: every third digit.
inline Mask thirds(Mask number, Carry& carry) {
  Mask first = number & ~before(number, carry.number);
  if (carry.digits && (number & 1)) {
    const int to = 3 - carry.digits;
    const Mask up_to = (Mask{2} << to) - 1;
    if ((number & up_to) == up_to) first |= Mask{1} << to;
  }
  const Mask four = number & number << 1 & number << 2 & number << 3;
  Mask found = first;
  for (Mask more = first; (more = more << 3 & four);) found |= more;
  carry.digits = number >> 63 ? 1 + __builtin_clzll(found) : 0;
  return found;
}

class Lines {
 public:
  // Of white space that begins after a new line: the places where no other new line follows before the white space ends.
  static Mask remainders(Mask candidates, const Byte* text, std::size_t left, const ClassTable& classes) {
    Mask found = 0;
    for (; candidates; candidates &= candidates - 1) {
      const int at = __builtin_ctzll(candidates);
      if (!line_follows(text + at, text + left, classes)) found |= Mask{1} << at;
    }
    return found;
  }

 private:
  static bool line_follows(const Byte* at, const Byte* end, const ClassTable& classes) {
    while (at < end) {
      if (*at == '\n' || *at == '\r') return true;
      const int width = *at < 0x80 ? 1 : *at < 0xE0 ? 2 : *at < 0xF0 ? 3 : 4;
      if (!(classes.of(width == 1 ? *at : code_at(at, width)) & kSpace)) return false;
      at += width;
    }
    return false;
  }
};

// Where words begin in a block. `text` is where the block begins, `left` what is left of the text from there.
template <Pattern kPattern>
inline Mask beginnings(const Block& block, const Block& next, const Byte* text, std::size_t left,
                       const ClassTable& classes, Carry& carry, Mask& strange) {
  const Mask after_blank = before(block.blank, carry.blank);
  const Mask other_first = block.other & ~before(block.other, carry.other) & ~after_blank;
  Mask letter_first = block.letter & ~before(block.letter, carry.letter);
  Mask found;
  Mask set = carry.set, clear = carry.clear;
  carry.set = carry.clear = 0;
  if constexpr (kPattern == Pattern::gpt2) {
    found = (block.space & ~before(block.space, carry.space)) | last_spaces(block, next, block.space);
    const Mask number_first = block.number & ~before(block.number, carry.number);
    found |= (letter_first | number_first) & ~after_blank;
    found |= other_first;
  } else {
    // \s*[\r\n]+ takes all up to the last new line of a run; `apart` is white space that is not a new line.
    Mask space = block.space;
    if constexpr (is_llama(kPattern)) {
      const Mask seeds = (block.line & before(block.other, carry.other)) | (block.line & Mask{carry.absorbing});
      const Mask absorbed = block.line & ~(block.line + seeds);
      carry.absorbing = absorbed >> 63;
      space &= ~absorbed;
    }
    const Mask apart = space & ~block.line, line = space & block.line;
    found = (space & ~before(space, carry.space)) | last_spaces(block, next, apart);
    const Mask after_line = apart & before(line, carry.line);
    if (after_line) found |= Lines::remainders(after_line, text, left, classes);
    if constexpr (kPattern == Pattern::french) {
      const Mask after_letter = before(block.letter, carry.letter);
      const Mask elisions = after_letter & ((block.apostrophe & after(block.letter, next.letter)) |
                                            (block.quote & after(block.letter, next.letter, 3)));
      const Mask first = other_first & ~elisions;
      const Mask hyphens = first & block.hyphen;
      letter_first &= ~after_blank & ~before(hyphens, carry.hyphen);
      carry.hyphen = hyphens;
      found |= letter_first | first | (block.number & ~block.inside);
      // aujourd'hui: an elision after "rd" is looked at by character.
      const Mask rd = block.d & before(block.r, carry.r);
      strange |= elisions & before(rd, carry.rd);
      carry.r = block.r;
      carry.rd = rd;
    } else {
      // One mark before letters goes with them, and so does any white space but a new line.
      Mask joint = other_first << 1 | carry.joint;
      carry.joint = other_first >> 63;
      for (Mask moving; (moving = joint & block.inside);) {
        carry.joint |= moving >> 63;
        joint = (joint & ~block.inside) | moving << 1;
      }
      letter_first &= ~before(apart, carry.apart) & ~joint;
      found |= letter_first | other_first;
      found |= kPattern == Pattern::llama3 ? thirds(block.number, carry) : block.number & ~block.inside;
    }
    carry.space = space;
    carry.apart = apart;
    carry.line = line;
  }
  if constexpr (kPattern != Pattern::french) {
    Mask candidates = other_first & block.apostrophe & after(block.suffix, next.suffix);
    for (; candidates; candidates &= candidates - 1) {
      const std::size_t at = __builtin_ctzll(candidates);
      const std::size_t size = left > at ? contraction<kPattern>(text + at + 1, left - at - 1) : 0;
      if (!size) continue;
      const auto put = [at](std::size_t to, Mask& here, Mask& there) {
        (at + to < 64 ? here : there) |= Mask{1} << ((at + to) & 63);
      };
      if (kPattern == Pattern::gpt2) put(1, clear, carry.clear);
      put(1 + size, set, carry.set);
    }
  }
  if constexpr (kPattern == Pattern::gpt2) carry.space = block.space;
  carry.other = block.other;
  carry.letter = block.letter;
  carry.number = block.number;
  carry.blank = block.blank;
  strange |= block.strange;
  return (found & ~clear) | set;
}

// Offsets of the bits, from `base` on. Up to 8 are written at once, so `out` needs that much room past the last.
inline std::uint32_t* flatten(Mask bits, std::uint32_t base, std::uint32_t* out) {
  const int count = __builtin_popcountll(bits);
  std::uint32_t* const end = out + count;
  for (; out < end; out += 8) {
    for (int i = 0; i < 8; ++i) {
      out[i] = base + static_cast<std::uint32_t>(_tzcnt_u64(bits));
      bits &= bits - 1;
    }
  }
  return end;
}

template <Pattern kPattern>
std::size_t by_blocks(const Byte* text, std::size_t size, std::uint32_t* const starts) {
  const ClassTable& classes = class_table();
  std::uint32_t* out = starts;
  std::size_t base = 0;  // where the masks took over: a word begins there
  while (base < size) {
    Carry carry;
    Spill spill;
    Block block, next;
    classify<kPattern>(text + base, size - base, classes, spill, block);
    bool handed_over = false;
    for (std::size_t at = base; at < size; at += 64, block = next) {
      if (at + 64 < size) {
        classify<kPattern>(text + at + 64, size - at - 64, classes, spill, next);
      } else {
        next = nothing();
      }
      Mask strange = 0;
      const Mask found =
          beginnings<kPattern>(block, next, text + at, size - at, classes, carry, strange);
      if (!strange) [[likely]] {
        out = flatten(found & (size - at < 64 ? (Mask{1} << (size - at)) - 1 : ~Mask{0}), static_cast<std::uint32_t>(at), out);
        continue;
      }
      // The beginnings up to a few bytes before the strange character stand: nothing looks further ahead than that.
      const std::size_t place = at + __builtin_ctzll(strange);
      const std::size_t sure = place > base + 8 ? place - 8 : base;
      out = flatten(found, static_cast<std::uint32_t>(at), out);
      while (out > starts && out[-1] > sure) --out;
      if (out == starts || out[-1] < base) *out++ = static_cast<std::uint32_t>(base);
      for (;;) {
        const std::size_t end = next_word(kPattern, text + out[-1], text + size) - text;
        if (end > place || end == size) {
          base = end;
          break;
        }
        *out++ = static_cast<std::uint32_t>(end);
      }
      handed_over = true;
      break;
    }
    if (!handed_over) break;
  }
  *out = static_cast<std::uint32_t>(size);
  return out - starts;
}

}  // namespace

WordStarts word_starts(Pattern pattern) {
  switch (pattern) {
    case Pattern::french: return by_blocks<Pattern::french>;
    case Pattern::gpt2: return by_blocks<Pattern::gpt2>;
    case Pattern::llama3: return by_blocks<Pattern::llama3>;
    case Pattern::qwen2: return by_blocks<Pattern::qwen2>;
    default: return nullptr;
  }
}

}  // namespace jarvis::bpe::avx2
JARVIS_AVX2_END
#endif

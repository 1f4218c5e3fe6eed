// Products of float32 on tiles of bfloat16: each float is split into three bfloat16, and six products of parts are
// added up in float32. docs/linear.md has the maths and the error.
#include "linear_tiles.h"

#include <algorithm>

#include "cpu_choice.h"

#ifdef JARVIS_AMX_BEGIN
#include <immintrin.h>

#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

JARVIS_AMX_BEGIN

namespace jarvis::linear {
namespace {

constexpr int64_t kTileBytes = 1024;          // 16 rows of 64 bytes
constexpr int64_t kPartBytes = 2 * kTileBytes;  // the same part of both tiles of a panel

// x = high + middle + low: 8 + 8 + 8 bits, each in the upper half of a float's. Half of the last bit is added and the
// rest cut off, so high and middle are rounded (what is left may be negative: a bit more); low is exact. Infinity
// leaves infinity - infinity; a NaN of all ones overflows to 0 twice and stays in low.
struct Parts {
  __m512i high, middle, low;
};

JARVIS_INLINE Parts split(__m512 x) {
  const __m512i half = _mm512_set1_epi32(0x8000), upper = _mm512_set1_epi32(static_cast<int>(0xffff0000));
  const auto rounded = [&](__m512 v) {
    return _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(v), half), upper);
  };
  const __m512i high = rounded(x);
  const __m512 rest = _mm512_sub_ps(x, _mm512_castsi512_ps(high));
  const __m512i middle = rounded(rest);
  return {high, middle, _mm512_castps_si512(_mm512_sub_ps(rest, _mm512_castsi512_ps(middle)))};
}

// 32 values along the depth -> a row of each part's tile.
JARVIS_INLINE void store_row(char* out, __m512 first, __m512 second, __m512i upper_halves) {
  const Parts a = split(first), b = split(second);
  _mm512_store_si512(out, _mm512_permutex2var_epi16(a.high, upper_halves, b.high));
  _mm512_store_si512(out + kPartBytes, _mm512_permutex2var_epi16(a.middle, upper_halves, b.middle));
  _mm512_store_si512(out + 2 * kPartBytes, _mm512_permutex2var_epi16(a.low, upper_halves, b.low));
}

// Two depths of 16 columns -> a row of pairs of each part's tile, as the right operand has to lie.
JARVIS_INLINE void store_pairs(char* out, __m512 even, __m512 odd) {
  const Parts a = split(even), b = split(odd);
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000));
  const auto pairs = [&](__m512i p, __m512i q) {
    return _mm512_ternarylogic_epi32(_mm512_srli_epi32(p, 16), q, upper, 0xF8);  // p | (q & upper)
  };
  _mm512_store_si512(out, pairs(a.high, b.high));
  _mm512_store_si512(out + kPartBytes, pairs(a.middle, b.middle));
  _mm512_store_si512(out + 2 * kPartBytes, pairs(a.low, b.low));
}

// The first n of 16 lanes; none and all outside of that range.
JARVIS_INLINE __mmask16 lanes(int64_t n) {
  return static_cast<__mmask16>(n >= 16 ? 0xffff : n <= 0 ? 0 : (1 << n) - 1);
}

JARVIS_INLINE void load_block(const float* data, int64_t stride, int64_t rows, int64_t columns, __m512* r) {
  if (rows >= 16 && columns >= 16) {
    for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_ps(data + i * stride);
    return;
  }
  const __mmask16 mask = lanes(columns);
  for (int i = 0; i < 16; ++i) r[i] = i < rows ? _mm512_maskz_loadu_ps(mask, data + i * stride) : _mm512_setzero_ps();
}

JARVIS_INLINE void transpose(__m512* r) {
  __m512 t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    for (int j = 0; j < 2; ++j) {
      const __m512d a = _mm512_castps_pd(t[i + j]), b = _mm512_castps_pd(t[i + 2 + j]);
      r[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
      r[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    }
  }
  for (int j = 0; j < 4; ++j) {  // r[4 g + j]: its quarter q is column 4 q + j of rows 4 g to 4 g + 3
    t[j] = _mm512_shuffle_f32x4(r[j], r[4 + j], 0x88);
    t[4 + j] = _mm512_shuffle_f32x4(r[j], r[4 + j], 0xdd);
    t[8 + j] = _mm512_shuffle_f32x4(r[8 + j], r[12 + j], 0x88);
    t[12 + j] = _mm512_shuffle_f32x4(r[8 + j], r[12 + j], 0xdd);
  }
  for (int j = 0; j < 4; ++j) {
    r[j] = _mm512_shuffle_f32x4(t[j], t[8 + j], 0x88);
    r[4 + j] = _mm512_shuffle_f32x4(t[4 + j], t[12 + j], 0x88);
    r[8 + j] = _mm512_shuffle_f32x4(t[j], t[8 + j], 0xdd);
    r[12 + j] = _mm512_shuffle_f32x4(t[4 + j], t[12 + j], 0xdd);
  }
}

JARVIS_INLINE __m512i odd_halves() {
  alignas(64) short index[32];
  for (short i = 0; i < 32; ++i) index[i] = static_cast<short>(2 * i + 1);
  return _mm512_load_si512(index);
}

// A tile's 16 rows of 32 values that lie side by side.
JARVIS_INLINE void pack_rows(const float* from, int64_t stride, int64_t rows, int64_t depth, char* to,
                             __m512i upper_halves) {
  if (rows >= 16 && depth >= kStep) {
    for (int r = 0; r < 16; ++r, from += stride)
      store_row(to + 64 * r, _mm512_loadu_ps(from), _mm512_loadu_ps(from + 16), upper_halves);
    return;
  }
  const __mmask16 first = lanes(depth), second = lanes(depth - 16);
  for (int r = 0; r < 16; ++r, from += stride) {
    const bool is_there = r < rows;
    store_row(to + 64 * r, is_there ? _mm512_maskz_loadu_ps(first, from) : _mm512_setzero_ps(),
              is_there ? _mm512_maskz_loadu_ps(second, from + 16) : _mm512_setzero_ps(), upper_halves);
  }
}

}  // namespace

void pack_left(const float* data, int64_t across, int64_t along, int64_t rows, int64_t depth, char* out, float* sums) {
  const __m512i upper_halves = odd_halves();
  __m512 total[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  for (int64_t k = 0; k < depth; k += kStep, out += kStepBytes) {
    for (int64_t tile = 0; tile < 2; ++tile) {
      const float* from = data + 16 * tile * across + k * along;
      char* to = out + tile * kTileBytes;
      const int64_t here = rows - 16 * tile, left = depth - k;
      if (along == 1 && !sums) {
        pack_rows(from, across, here, left, to, upper_halves);
        continue;
      }
      __m512 first[16], second[16];
      load_block(from, along, left, here, first);
      load_block(from + 16 * along, along, left - 16, here, second);
      if (sums) {  // of 32, then of these sums: the error grows with the depth / 32
        __m512 some = _mm512_setzero_ps();
        for (int i = 0; i < 16; ++i) some = _mm512_add_ps(some, _mm512_add_ps(first[i], second[i]));
        total[tile] = _mm512_add_ps(total[tile], some);
      }
      transpose(first);
      transpose(second);
      for (int r = 0; r < 16; ++r) store_row(to + 64 * r, first[r], second[r], upper_halves);
    }
  }
  if (sums) {
    _mm512_storeu_ps(sums, total[0]);
    _mm512_storeu_ps(sums + 16, total[1]);
  }
}

void pack_right(const float* data, int64_t across, int64_t along, int64_t columns, int64_t depth, char* out) {
  for (int64_t k = 0; k < depth; k += kStep, out += kStepBytes) {
    for (int64_t tile = 0; tile < 2; ++tile) {
      const int64_t here = columns - 16 * tile;
      for (int64_t half = 0; half < 2; ++half) {
        const float* from = data + 16 * tile * across + (k + 16 * half) * along;
        char* to = out + tile * kTileBytes + half * kTileBytes / 2;
        const int64_t left = depth - k - 16 * half;
        __m512 r[16];
        if (along == 1) {
          load_block(from, across, here, left, r);
          transpose(r);
        } else {
          load_block(from, along, left, here, r);
        }
        for (int pair = 0; pair < 8; ++pair) store_pairs(to + 64 * pair, r[2 * pair], r[2 * pair + 1]);
      }
    }
  }
}

void open_tiles() {
  struct alignas(64) {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t bytes_in_row[16] = {};
    uint8_t rows[16] = {};
  } shape;
  for (int tile = 0; tile < 8; ++tile) {
    shape.bytes_in_row[tile] = 64;
    shape.rows[tile] = 16;
  }
  asm volatile("" ::: "memory");  // the tile intrinsics do not say that they read memory
  _tile_loadconfig(&shape);
}

void close_tiles() { _tile_release(); }

JARVIS_INLINE void store_rows(const Block& b, int64_t first, int64_t last) {
  last = std::min(last, b.rows);
  const __mmask16 masks[2] = {lanes(b.columns), lanes(b.columns - 16)};
  for (int64_t r = first; r < last; ++r) {
    for (int64_t half = 0; half < 2; ++half) {
      const __mmask16 mask = masks[half];
      float* to = b.c + r * b.stride + 16 * half;
      __m512 sum = _mm512_load_ps(b.values + r * kPanel + 16 * half);
      if (b.bias) sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, b.bias + 16 * half));
      if (b.add) sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, to));
      _mm512_mask_storeu_ps(to, mask, sum);
    }
  }
}

void store_block(const Block& block) { store_rows(block, 0, kPanel); }

void multiply_panels(const char* left, const char* right, int64_t steps, float* values, const Block& earlier) {
  const int64_t rows = (kPanel + steps - 1) / steps;
  int64_t row = 0;
  // Tiles 0 to 3: the block of c. 4, 5: a part of a's two tiles; 6, 7: of b's. The order of the six products changes
  // one side at a time: 14 loads for 24 products of tiles.
#define JARVIS_LOAD_LEFT(part)                         \
  _tile_loadd(4, left + (part) * kPartBytes, 64);      \
  _tile_loadd(5, left + (part) * kPartBytes + kTileBytes, 64);
#define JARVIS_LOAD_RIGHT(part)                        \
  _tile_loadd(6, right + (part) * kPartBytes, 64);     \
  _tile_loadd(7, right + (part) * kPartBytes + kTileBytes, 64);
#define JARVIS_MULTIPLY      \
  _tile_dpbf16ps(0, 4, 6);   \
  _tile_dpbf16ps(1, 4, 7);   \
  _tile_dpbf16ps(2, 5, 6);   \
  _tile_dpbf16ps(3, 5, 7);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (; steps > 0; --steps, left += kStepBytes, right += kStepBytes) {
    JARVIS_LOAD_LEFT(2) JARVIS_LOAD_RIGHT(0) JARVIS_MULTIPLY  // low high
    JARVIS_LOAD_LEFT(1) JARVIS_MULTIPLY                       // middle high
    JARVIS_LOAD_RIGHT(1) JARVIS_MULTIPLY                      // middle middle
    JARVIS_LOAD_LEFT(0) JARVIS_MULTIPLY                       // high middle
    JARVIS_LOAD_RIGHT(2) JARVIS_MULTIPLY                      // high low
    JARVIS_LOAD_RIGHT(0) JARVIS_MULTIPLY                      // high high
    store_rows(earlier, row, row + rows);
    row += rows;
  }
  _tile_stored(0, values, kPanel * sizeof(float));
  _tile_stored(1, values + 16, kPanel * sizeof(float));
  _tile_stored(2, values + 16 * kPanel, kPanel * sizeof(float));
  _tile_stored(3, values + 16 * kPanel + 16, kPanel * sizeof(float));
  asm volatile("" ::: "memory");
#undef JARVIS_LOAD_LEFT
#undef JARVIS_LOAD_RIGHT
#undef JARVIS_MULTIPLY
}

bool request_tiles() {
#ifdef __linux__
  constexpr long kRequest = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
#else
  return false;
#endif
}

}  // namespace jarvis::linear

JARVIS_AMX_END

#else

namespace jarvis::linear {
void pack_left(const float*, int64_t, int64_t, int64_t, int64_t, char*, float*) {}
void pack_right(const float*, int64_t, int64_t, int64_t, int64_t, char*) {}
void open_tiles() {}
void close_tiles() {}
void multiply_panels(const char*, const char*, int64_t, float*, const Block&) {}
void store_block(const Block&) {}
bool request_tiles() { return false; }
}  // namespace jarvis::linear

#endif

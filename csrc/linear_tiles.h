// What linear_amx.cpp does within a thread; linear_cpu.cpp cuts the work. No torch here.
#pragma once

#include <cstdint>

#include "linear.h"

namespace jarvis::linear {

constexpr int64_t kPanel = 32;             // rows of a, or columns of b, that are packed together: two tiles
constexpr int64_t kStep = 32;              // of depth: a tile's row, 64 bytes of bfloat16
constexpr int64_t kStepBytes = 3 * 2 * 1024;  // of a packed panel: three parts of two tiles

inline int64_t n_steps(int64_t depth) { return (depth + kStep - 1) / kStep; }

bool request_tiles();  // from the system, for the whole process

// Some rows of a, or columns of b (at most kPanel; `data` is the first one's start), `depth` deep, into
// n_steps(depth) * kStepBytes at `out`. `along`, `across`: strides along the depth and from one row or column to the
// next. sums (kPanel), if any and across = 1: their sums.
void pack_left(const float* data, int64_t across, int64_t along, int64_t rows, int64_t depth, char* out, float* sums);
void pack_right(const float* data, int64_t across, int64_t along, int64_t columns, int64_t depth, char* out);

// Between these two a thread may multiply.
void open_tiles();
void close_tiles();

// A product of two panels, and the part (rows, columns) of c that it belongs to: c = values + bias, or c += that.
struct Block {
  const float* values;  // (kPanel, kPanel), dense
  float* c;
  int64_t stride, rows, columns;
  const float* bias;
  bool add;
};

void store_block(const Block& block);

// values (kPanel, kPanel), dense = a panel of a times a panel of b. An earlier block (rows: 0 for none) is stored
// meanwhile: these instructions find room between those on tiles.
void multiply_panels(const char* left, const char* right, int64_t steps, float* values, const Block& earlier);

}  // namespace jarvis::linear

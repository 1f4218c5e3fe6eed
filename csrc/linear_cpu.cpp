// Products of float32 on tiles: how the matrices are cut for the caches and the threads. The tiles: linear_amx.cpp.
#include "linear.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>

#include "cpu.h"
#include "linear_tiles.h"

namespace jarvis::linear {
namespace {

// b is packed kDepth x kColumns at a time, by all threads (at most 6 MB); each thread packs kDepth of some rows of a
// (at most 0.8 MB, half of a second-level cache) and multiplies them by all of that. The block of c stays in the tiles
// for kDepth, then is added to c: sums of at most kDepth products and then of such sums, as exact as torch's.
constexpr int64_t kDepth = 512;
constexpr int64_t kColumns = 2048;
constexpr int64_t kMaxPanels = 8;  // of a, in a task

// Kept by its thread for the next call: memory as large as this costs a page fault each 4 KB when it is new.
char* scratch(int64_t size, int which) {
  struct Free {
    void operator()(char* p) const { ::operator delete(p, std::align_val_t(64)); }
  };
  struct Buffer {
    std::unique_ptr<char, Free> data;
    int64_t size = 0;
  };
  thread_local Buffer buffers[2];
  Buffer& buffer = buffers[which];
  if (buffer.size < size) {
    buffer.data.reset();
    buffer.data.reset(static_cast<char*>(::operator new(size, std::align_val_t(64))));
    buffer.size = size;
  }
  return buffer.data.get();
}

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The largest piece, a multiple of `unit`, when `whole` is cut into equal ones of at most `most`.
int64_t even_piece(int64_t whole, int64_t most, int64_t unit) {
  return divide_up(divide_up(whole, divide_up(whole, most)), unit) * unit;
}

// A piece of b: columns [n0, n0 + columns), depth [k0, k0 + depth).
struct Piece {
  int64_t n0, columns, k0, depth;
};

void pack_columns(const Product& p, const Piece& piece, char* packed) {
  const int64_t panel_bytes = n_steps(piece.depth) * kStepBytes;
  parallel_for(0, divide_up(piece.columns, kPanel), 1, [&](int64_t first, int64_t last) {
    for (int64_t j = first; j < last; ++j) {
      const int64_t n = piece.n0 + j * kPanel;
      pack_right(p.b.data + piece.k0 * p.b.row_stride + n * p.b.column_stride, p.b.column_stride, p.b.row_stride,
                 std::min(kPanel, piece.n0 + piece.columns - n), piece.depth, packed + j * panel_bytes);
    }
  });
}

// Rows [m0, m0 + rows) of c for one piece of b.
void multiply_rows(const Product& p, const Piece& piece, const char* right, int64_t m0, int64_t rows) {
  const int64_t steps = n_steps(piece.depth), panel_bytes = steps * kStepBytes;
  const bool is_first = piece.k0 == 0;
  char* left = scratch(divide_up(rows, kPanel) * panel_bytes, 0);
  for (int64_t i = 0; i < rows; i += kPanel) {
    const int64_t m = m0 + i, here = std::min(kPanel, rows - i);
    const bool sums = p.row_sums && piece.n0 == 0;
    float some[kPanel];
    pack_left(p.a.data + m * p.a.row_stride + piece.k0 * p.a.column_stride, p.a.row_stride, p.a.column_stride, here,
              piece.depth, left + i / kPanel * panel_bytes, sums ? some : nullptr);
    for (int64_t r = 0; sums && r < here; ++r) p.row_sums[m + r] = is_first ? some[r] : p.row_sums[m + r] + some[r];
  }
  alignas(64) float values[2][kPanel * kPanel];
  Block earlier{};
  int turn = 0;
  open_tiles();
  for (int64_t j = 0; j < piece.columns; j += kPanel) {
    const int64_t n = piece.n0 + j;
    const char* panel = right + j / kPanel * panel_bytes;
    for (int64_t i = 0; i < rows; i += kPanel, turn ^= 1) {
      multiply_panels(left + i / kPanel * panel_bytes, panel, steps, values[turn], earlier);
      earlier = {values[turn], p.c + (m0 + i) * p.c_stride + n, p.c_stride, std::min(kPanel, rows - i),
                 std::min(kPanel, piece.columns - j), p.bias && is_first ? p.bias + n : nullptr, p.add || !is_first};
    }
  }
  store_block(earlier);
  close_tiles();
}

void multiply_piece(const Product& p, const Piece& piece, const char* right) {
  const int64_t threads = std::max(1, thread_count()), panels = divide_up(p.rows, kPanel);
  const int64_t wanted = divide_up(divide_up(panels, kMaxPanels), threads) * threads;  // as many for each thread
  const int64_t task = divide_up(panels, wanted) * kPanel, tasks = divide_up(p.rows, task);
  std::atomic<int64_t> next = 0;
  parallel_for(0, std::min(threads, tasks), 1, [&](int64_t, int64_t) {
    for (int64_t t; (t = next++) < tasks;)
      multiply_rows(p, piece, right, t * task, std::min(task, p.rows - t * task));
  });
}

// Sums of nothing, or nothing to multiply: what is left are the bias and the sums of a's rows.
void fill_without_product(const Product& p) {
  for (int64_t m = 0; m < p.rows; ++m) {
    float* c = p.c + m * p.c_stride;
    for (int64_t n = 0; n < p.columns; ++n) c[n] = (p.add ? c[n] : 0.0f) + (p.bias ? p.bias[n] : 0.0f);
    if (!p.row_sums) continue;
    p.row_sums[m] = 0.0f;
    for (int64_t k = 0; k < p.depth; ++k) p.row_sums[m] += p.a.data[m * p.a.row_stride + k * p.a.column_stride];
  }
}

}  // namespace

bool has_tiles() {
  static const bool granted = use_amx() && request_tiles();
  return granted;
}

void product_cpu(const Product& p) {
  if (p.rows == 0 || p.depth == 0 || p.columns == 0) return fill_without_product(p);
  const int64_t depth = even_piece(p.depth, kDepth, kStep), columns = even_piece(p.columns, kColumns, kPanel);
  char* right = scratch(columns / kPanel * n_steps(depth) * kStepBytes, 1);
  for (int64_t n0 = 0; n0 < p.columns; n0 += columns) {
    for (int64_t k0 = 0; k0 < p.depth; k0 += depth) {
      const Piece piece{n0, std::min(columns, p.columns - n0), k0, std::min(depth, p.depth - k0)};
      pack_columns(p, piece, right);
      multiply_piece(p, piece, right);
    }
  }
}

}  // namespace jarvis::linear

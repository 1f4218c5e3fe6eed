// Cross-entropy over rows of logits, in place, on pointers. No torch here. The maths: docs/cross_entropy.md.
#pragma once

#include <cstdint>

namespace jarvis::cross_entropy {

struct Rows {
  int64_t rows, columns;
  float* logits;          // (rows, columns) dense; with `gradient` they become the loss's gradient
  const int64_t* target;  // (rows), each in [0, columns)
  float z_loss;
  bool gradient;
  float *loss, *log_z, *entropy, *hit;  // (rows) each
};

void rows_cpu(const Rows& args);

}  // namespace jarvis::cross_entropy

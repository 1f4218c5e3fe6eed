// AdamW over many tensors at once, on pointers: weights and moments are float32 and dense, gradients float32, bfloat16
// or float16. The maths and the traffic: docs/adamw.md.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu.h"

namespace jarvis::adamw {

enum class GradientType { float32, bfloat16, float16 };

// One tensor of `size` values: weights p, moments m and v, gradient g.
struct Operand {
  int64_t size;
  float* p;
  float* m;
  float* v;
  const void* g;
  GradientType type;
  double lr, weight_decay;
};

struct Settings {
  double step, beta1, beta2, eps;
  double max_norm;  // infinity: no clipping
};

// Where the 2-norms go: (n) each, but the total.
struct Norms {
  float* gradient;
  float* update;
  float* weight;
  float* total;
};

// One step of all operands, in place.
void step_cpu(const std::vector<Operand>& operands, const Settings& settings, const Norms& norms);

// What the update of one tensor multiplies by.
struct Factors {
  float clip;           // of the gradient
  float rest1, beta2, rest2;
  float inverse_root2;  // 1 / sqrt(1 - beta2^t)
  float eps;
  float rate;           // lr / (1 - beta1^t)
  float decay;          // lr * weight_decay
};

// Sums of squares over a chunk of a tensor.
struct Sums {
  double gradient, update, weight;
};

}  // namespace jarvis::adamw

// The products of linear layers in float32, on tiles of bfloat16 (AMX). No torch here. The maths: docs/linear.md.
#pragma once

#include <cstdint>

namespace jarvis::linear {

// Element (i, j) lies at data[i * row_stride + j * column_stride]; one of the strides is 1.
struct Matrix {
  const float* data;
  int64_t row_stride, column_stride;
};

// c = a b + bias, or c += a b + bias.
struct Product {
  int64_t rows, columns, depth;  // a (rows, depth), b (depth, columns), c (rows, columns)
  Matrix a, b;
  const float* bias;  // (columns); nullptr: none
  float* c;
  int64_t c_stride;  // from one row to the next
  bool add;
  float* row_sums;  // (rows): the sums of a's rows, on the way, where a.row_stride is 1; nullptr: not wanted
};

// Whether the tiles may be used: the processor has them, JARVIS_NANO_CPU allows them, the system grants them.
bool has_tiles();

void product_cpu(const Product& p);

}  // namespace jarvis::linear

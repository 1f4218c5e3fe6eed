// Rotary positions, on pointers: each pair (i, i + half) of a head turned by the angle of its token's position. x has any
// strides but for the values of a head, which lie side by side; the result is dense. The maths: docs/rotary.md.
#pragma once

#include <cstdint>

namespace jarvis::rotary {

template <class T>
struct Turn {
  int64_t batch, tokens, heads, half;          // half: D / 2
  const T* x;
  int64_t x_batch, x_token, x_head;            // strides
  const float *cos, *sin;                      // (context, half)
  int64_t context;
  const int64_t* positions;                    // null: 0, 1, … of each text
  int64_t positions_batch, positions_token;    // strides; a batch stride of 0: the same for all texts
  T* y;                                        // (batch, tokens, heads, 2 half)
  bool backwards;                              // by the opposite angle: the gradient
};

// T is float, bfloat16 or float16. std::out_of_range when a position lies beyond the tables; nothing is written then.
template <class T>
void turn_cpu(const Turn<T>& args);

}  // namespace jarvis::rotary

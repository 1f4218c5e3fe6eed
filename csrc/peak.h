// How many multiply-adds the processor can do at all: the denominator of every kernel's speed.
#pragma once

#include <cstdint>

namespace jarvis::peak {

// `rounds` times some independent multiply-adds on every thread; returns the floating-point operations of all threads.
int64_t multiply_add_cpu(int64_t rounds);

}  // namespace jarvis::peak

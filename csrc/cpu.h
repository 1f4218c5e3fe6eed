// What every CPU kernel needs: the instruction set to use, torch's threads, a vector of floats. No torch here.
//
// A kernel is written once, on `Lanes` (GCC and Clang vectors, lanes.inc), in a .inc file, and compiled three times: by
// x_cpu.cpp for any processor (namespace portable), by x_avx2.cpp and x_avx512.cpp under a target pragma (namespaces of
// these names). x_cpu.cpp chooses.
#pragma once

#include <cstdint>
#include <cstring>

#include "cpu_choice.h"

namespace jarvis {

// torch's own thread pool; defined in bindings.cpp.
void parallel_ranges(int64_t begin, int64_t end, int64_t grain, void (*run)(int64_t, int64_t, void*), void* context);
int thread_count();

// body(first, last) over [begin, end), in at most thread_count() pieces of at least `grain`.
template <class Body>
inline void parallel_for(int64_t begin, int64_t end, int64_t grain, const Body& body) {
  parallel_ranges(
      begin, end, grain,
      [](int64_t first, int64_t last, void* context) { (*static_cast<const Body*>(context))(first, last); },
      const_cast<Body*>(&body));
}

// Two-byte floats as they lie in memory. A bfloat16 is the upper half of a float.
struct bfloat16 {
  uint16_t bits;
};
struct float16 {
  uint16_t bits;
};

// The function to run, of the three that one source was compiled to.
template <class Function>
inline Function* choose(Function* portable, Function* avx2, Function* avx512) {
  return use_avx512() ? avx512 : use_avx2() ? avx2 : portable;
}

}  // namespace jarvis

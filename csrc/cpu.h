// What every CPU kernel needs: the instruction set to use, torch's threads, a vector of floats. No torch here.
//
// A kernel is written once, on `Floats` (GCC and Clang vectors), in a .inc file, and compiled twice: by x_cpu.cpp for
// any processor (namespace portable) and by x_avx2.cpp under a target pragma (namespace avx2). x_cpu.cpp chooses.
#pragma once

#include <cstdint>
#include <cstring>

// Opens and closes the part of a file that is compiled for AVX2. Standard headers go before it: an inline function of
// theirs compiled for AVX2 could be the copy that the linker keeps for everybody.
#if defined(__x86_64__) && defined(__clang__)
#define JARVIS_AVX2_BEGIN \
  _Pragma("clang attribute push(__attribute__((target(\"avx2,fma,f16c,bmi,bmi2\"))), apply_to = function)")
#define JARVIS_AVX2_END _Pragma("clang attribute pop")
#elif defined(__x86_64__)
#define JARVIS_AVX2_BEGIN _Pragma("GCC push_options") _Pragma("GCC target(\"avx2,fma,f16c,bmi,bmi2\")")
#define JARVIS_AVX2_END _Pragma("GCC pop_options")
#endif

namespace jarvis {

// True: run the AVX2 code. The processor decides; JARVIS_NANO_CPU=avx2|portable forces (and is checked) once a process.
bool use_avx2();

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

}  // namespace jarvis

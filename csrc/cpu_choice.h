// Which instruction set the CPU kernels use, for both compiled modules. No torch here.
#pragma once

#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

// Opens and closes the part of a file that is compiled for AVX2. Standard headers go before it: an inline function of
// theirs compiled for AVX2 could be the copy that the linker keeps for everybody.
#if defined(__x86_64__) && defined(__clang__)
#define JARVIS_AVX2_BEGIN \
  _Pragma("clang attribute push(__attribute__((target(\"avx2,fma,f16c,bmi,bmi2,popcnt\"))), apply_to = function)")
#define JARVIS_AVX2_END _Pragma("clang attribute pop")
#elif defined(__x86_64__)
#define JARVIS_AVX2_BEGIN _Pragma("GCC push_options") _Pragma("GCC target(\"avx2,fma,f16c,bmi,bmi2,popcnt\")")
#define JARVIS_AVX2_END _Pragma("GCC pop_options")
#endif

namespace jarvis {

inline bool has_avx2() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
#else
  return false;
#endif
}

inline bool choose_avx2() {
  const char* wish = std::getenv("JARVIS_NANO_CPU");
  if (wish == nullptr || *wish == '\0') return has_avx2();
  if (std::strcmp(wish, "portable") == 0) return false;
  if (std::strcmp(wish, "avx2") != 0)
    throw std::runtime_error("JARVIS_NANO_CPU is '" + std::string(wish) + "'; expected avx2 or portable");
  if (!has_avx2())
    throw std::runtime_error("JARVIS_NANO_CPU=avx2, but this processor has no AVX2 with FMA; unset it or say portable");
  return true;
}

// True: run the AVX2 code. The processor decides; JARVIS_NANO_CPU=avx2|portable forces (and is checked) once a process.
inline bool use_avx2() {
  static const bool chosen = choose_avx2();
  return chosen;
}

}  // namespace jarvis

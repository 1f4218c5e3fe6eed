// Which instruction set the CPU kernels use.
#include "cpu.h"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace jarvis {
namespace {

bool has_avx2() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") &&
         __builtin_cpu_supports("bmi2");
#else
  return false;
#endif
}

bool choose() {
  const char* wish = std::getenv("JARVIS_NANO_CPU");
  if (wish == nullptr || *wish == '\0') return has_avx2();
  if (std::strcmp(wish, "portable") == 0) return false;
  if (std::strcmp(wish, "avx2") != 0)
    throw std::runtime_error("JARVIS_NANO_CPU is '" + std::string(wish) + "'; expected avx2 or portable");
  if (!has_avx2())
    throw std::runtime_error("JARVIS_NANO_CPU=avx2, but this processor has no AVX2 with FMA; unset it or say portable");
  return true;
}

}  // namespace

bool use_avx2() {
  static const bool chosen = choose();
  return chosen;
}

}  // namespace jarvis

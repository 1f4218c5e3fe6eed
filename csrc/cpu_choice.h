// Which instruction set the CPU kernels use, for both compiled modules. No torch here.
#pragma once

#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

// Opens and closes the part of a file that is compiled for AVX2, AVX-512, AMX. Standard headers go before it: an inline function of
// theirs compiled for AVX2 could be the copy that the linker keeps for everybody.
#if defined(__x86_64__) && defined(__clang__)
#define JARVIS_AVX2_BEGIN \
  _Pragma("clang attribute push(__attribute__((target(\"avx2,fma,f16c,bmi,bmi2,popcnt\"))), apply_to = function)")
#define JARVIS_AVX2_END _Pragma("clang attribute pop")
#define JARVIS_AVX512_BEGIN \
  _Pragma("clang attribute push(__attribute__((target(\"avx2,fma,f16c,bmi,bmi2,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vbmi2\"))), apply_to = function)")
#define JARVIS_AVX512_END _Pragma("clang attribute pop")
#define JARVIS_AMX_BEGIN \
  _Pragma("clang attribute push(__attribute__((target(\"avx2,fma,f16c,bmi,bmi2,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vbmi2,amx-tile,amx-bf16\"))), apply_to = function)")
#define JARVIS_AMX_END _Pragma("clang attribute pop")
#elif defined(__x86_64__)
#define JARVIS_AVX2_BEGIN _Pragma("GCC push_options") _Pragma("GCC target(\"avx2,fma,f16c,bmi,bmi2,popcnt\")")
#define JARVIS_AVX2_END _Pragma("GCC pop_options")
#define JARVIS_AVX512_BEGIN \
  _Pragma("GCC push_options")  \
  _Pragma("GCC target(\"avx2,fma,f16c,bmi,bmi2,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vbmi2\")")
#define JARVIS_AVX512_END _Pragma("GCC pop_options")
#define JARVIS_AMX_BEGIN \
  _Pragma("GCC push_options")  \
  _Pragma("GCC target(\"avx2,fma,f16c,bmi,bmi2,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vbmi2,amx-tile,amx-bf16\")")
#define JARVIS_AMX_END _Pragma("GCC pop_options")
#endif

// What has to be inlined for a loop over registers to be one.
#define JARVIS_INLINE inline __attribute__((always_inline))
#define JARVIS_LAMBDA __attribute__((always_inline))  // after the parameters of one

namespace jarvis {

inline bool has_avx2() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
#else
  return false;
#endif
}

// The byte instructions of Ice Lake and Zen 4. Processors before them lower their clock for 64-byte registers.
inline bool has_avx512() {
#if defined(__x86_64__)
  return has_avx2() && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vbmi") &&
         __builtin_cpu_supports("avx512vbmi2");
#else
  return false;
#endif
}

// Tiles of bfloat16 (Sapphire Rapids and later): the processor has them, and the system saves their registers. Before
// its first tile a process has to ask the system as well: linear_amx.cpp.
inline bool has_amx() {
#if defined(__x86_64__) && defined(__linux__)
  constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24, kTileState = 3u << 17;
  unsigned a, b, c, d, state;
  if (!has_avx512() || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  if ((d & (kBf16 | kTile)) != (kBf16 | kTile)) return false;
  asm volatile("xgetbv" : "=a"(state) : "c"(0) : "edx");
  return (state & kTileState) == kTileState;
#else
  return false;
#endif
}

// Each has all that stands before it: what has no code for amx runs that for avx512.
enum class InstructionSet { portable, avx2, avx512, amx };

inline InstructionSet choose_instruction_set() {
  const char* wish = std::getenv("JARVIS_NANO_CPU");
  const InstructionSet best = has_avx512() ? InstructionSet::avx512
                              : has_avx2() ? InstructionSet::avx2
                                           : InstructionSet::portable;
  if (wish == nullptr || *wish == '\0') return best;
  const std::string_view name = wish;
  if (name == "portable") return InstructionSet::portable;
  if (name != "avx2" && name != "avx512" && name != "amx")
    throw std::runtime_error("JARVIS_NANO_CPU is '" + std::string(name) + "'; expected amx, avx512, avx2 or portable");
  const InstructionSet wished = name == "avx2"     ? InstructionSet::avx2
                                : name == "avx512" ? InstructionSet::avx512
                                                   : InstructionSet::amx;
  if (wished == InstructionSet::amx ? !has_amx() : wished > best)
    throw std::runtime_error("JARVIS_NANO_CPU=" + std::string(name) +
                             ", but this processor lacks its instructions; unset it or say portable");
  return wished;
}

// The processor decides; JARVIS_NANO_CPU=amx|avx512|avx2|portable forces (and is checked) once a process. Tiles have to be asked
// for: on a shared machine they may be slower than AVX-512 (docs/linear.md).
inline InstructionSet instruction_set() {
  static const InstructionSet chosen = choose_instruction_set();
  return chosen;
}

// Run the AVX2 code (unless there is some for AVX-512); run that for AVX-512; run that for AMX.
inline bool use_avx2() { return instruction_set() >= InstructionSet::avx2; }
inline bool use_avx512() { return instruction_set() >= InstructionSet::avx512; }
inline bool use_amx() { return instruction_set() == InstructionSet::amx; }

}  // namespace jarvis

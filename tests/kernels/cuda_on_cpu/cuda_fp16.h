// float16 for cuda_runtime.h of this folder.
#pragma once

#include <cstdint>
#include <cstring>

struct __half {
  _Float16 value;
};

inline __half __ushort_as_half(uint16_t bits) {
  __half x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}
inline uint16_t __half_as_ushort(__half x) {
  uint16_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline float __half2float(__half x) { return static_cast<float>(x.value); }
inline __half __float2half_rn(float x) { return {static_cast<_Float16>(x)}; }

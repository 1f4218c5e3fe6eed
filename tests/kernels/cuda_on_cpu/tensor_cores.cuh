// csrc/tensor_cores.cuh in plain C++, lane by lane, with the fragments laid out as PTX says. Included before it.
//
// Copies into shared memory arrive as late as they may: at the wait that names their group. copy_at_once turns that to
// the other extreme, which shows a buffer that is overwritten while others still read it.
#ifndef JARVIS_TENSOR_CORES
#define JARVIS_TENSOR_CORES

#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <set>
#include <type_traits>

#include "cpu.h"

namespace jarvis {

inline bool copies_at_once = false;
inline int64_t bank_conflicts = 0;

inline uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(static_cast<const unsigned char*>(pointer) - dynamic_bytes);
}

inline void check_shared(uint32_t address, uint32_t bytes) {
  if (address % bytes || address + bytes > shared_bytes) wrong("an address outside of shared memory, or misaligned");
}

template <class T>
float half_to_float(uint32_t word, int half) {
  const uint16_t bits = static_cast<uint16_t>(word >> (16 * half));
  if constexpr (std::is_same_v<T, bfloat16>) return __uint_as_float(static_cast<uint32_t>(bits) << 16);
  _Float16 value;
  std::memcpy(&value, &bits, sizeof value);
  return static_cast<float>(value);
}

template <class T>
uint32_t float_to_half(float x) {
  if constexpr (std::is_same_v<T, bfloat16>) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return x != x ? 0x7fff : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  }
  const _Float16 value = static_cast<_Float16>(x);
  uint16_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

template <class T>
uint32_t pack(float first, float second) {
  return float_to_half<T>(first) | float_to_half<T>(second) << 16;
}

template <class T>
float2 unpack(uint32_t both) {
  return make_float2(half_to_float<T>(both, 0), half_to_float<T>(both, 1));
}

inline float exp2_fast(float x) { return std::exp2(x); }

struct WarpOperands {
  float a[16][16], b[16][8];
};
inline WarpOperands operands[32];

template <class T>
void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  WarpOperands& warp = operands[threadIdx.x / 32];
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  for (int r = 0; r < 4; ++r)
    for (int half = 0; half < 2; ++half)
      warp.a[g + 8 * (r % 2)][2 * t + half + 8 * (r / 2)] = half_to_float<T>(a[r], half);
  for (int half = 0; half < 2; ++half) {
    warp.b[2 * t + half][g] = half_to_float<T>(b0, half);
    warp.b[2 * t + half + 8][g] = half_to_float<T>(b1, half);
  }
  __syncwarp();
  for (int i = 0; i < 4; ++i) {
    float sum = 0.0f;
    for (int k = 0; k < 16; ++k) sum += warp.a[g + 8 * (i / 2)][k] * warp.b[k][2 * t + i % 2];
    c[i] += sum;
  }
  __syncwarp();
}

// The four addresses that this lane's values come from; counts the banks that a row of addresses hits twice.
inline void matrix_rows(uint32_t address, uint32_t (&rows)[4][8]) {
  check_shared(address, 16);
  const unsigned warp = threadIdx.x / 32 * 32;
  exchanged[threadIdx.x] = address;
  __syncwarp();
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 8; ++j) rows[i][j] = static_cast<uint32_t>(exchanged[warp + 8 * i + j]);
  if (threadIdx.x % 32 == 0)
    for (const auto& matrix : rows) {
      std::set<uint32_t> banks;
      for (uint32_t row : matrix) banks.insert(row / 16 % 8);
      bank_conflicts += 8 - banks.size();
    }
  __syncwarp();
}

inline uint32_t shared_half(uint32_t address) {
  uint16_t bits;
  std::memcpy(&bits, dynamic_bytes + address, sizeof bits);
  return bits;
}

inline void load_matrices(uint32_t (&to)[4], uint32_t address) {
  uint32_t rows[4][8];
  matrix_rows(address, rows);
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  for (int i = 0; i < 4; ++i)
    to[i] = shared_half(rows[i][g] + 4 * t) | shared_half(rows[i][g] + 4 * t + 2) << 16;
}

inline void load_matrices_transposed(uint32_t (&to)[4], uint32_t address) {
  uint32_t rows[4][8];
  matrix_rows(address, rows);
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  for (int i = 0; i < 4; ++i)
    to[i] = shared_half(rows[i][2 * t] + 2 * g) | shared_half(rows[i][2 * t + 1] + 2 * g) << 16;
}

inline void arrive(const PendingCopy& copy) {
  std::memset(dynamic_bytes + copy.to, 0, copy.bytes);
  if (copy.there) std::memcpy(dynamic_bytes + copy.to, copy.from, copy.bytes);
}

inline void copy_bytes(uint32_t to, const void* from, int bytes, bool there) {
  check_shared(to, bytes);
  if (reinterpret_cast<uintptr_t>(from) % bytes) wrong("a misaligned copy");
  const PendingCopy copy{to, from, bytes, there};
  copies_at_once ? arrive(copy) : fibres[running].copies.back().push_back(copy);
}
inline void copy_16_bytes(uint32_t to, const void* from, bool there) { copy_bytes(to, from, 16, there); }
inline void copy_4_bytes(uint32_t to, const void* from, bool there) { copy_bytes(to, from, 4, there); }
inline void commit_copies() { fibres[running].copies.emplace_back(); }

template <int kGroups>
void wait_for_copies() {
  auto& copies = fibres[running].copies;
  while (copies.size() > kGroups + 1) {
    for (const PendingCopy& copy : copies.front()) arrive(copy);
    copies.erase(copies.begin());
  }
}

extern "C" void copy_at_once(bool on) { copies_at_once = on; }
extern "C" int64_t count_bank_conflicts() { return bank_conflicts; }

}  // namespace jarvis

#endif

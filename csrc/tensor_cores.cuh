// The instructions of sm_80 and later that C++ has no words for, a function each: matrix products of a warp, the loads
// that feed them, copies into shared memory that run on while the warp computes, and conversions.
//
// A fragment is a warp's share of a 16 x 16 matrix of two-byte values: with g = lane / 4 and t = lane % 4, register 0
// holds columns 2t and 2t + 1 of row g, register 1 those of row g + 8, registers 2 and 3 the same 8 columns to the right.
// Shared memory is addressed in bytes, as 32-bit numbers. tests/kernels/cuda_on_cpu has the same functions in plain C++.
#ifndef JARVIS_TENSOR_CORES
#define JARVIS_TENSOR_CORES

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "cpu.h"

namespace jarvis {

__device__ __forceinline__ uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// c (16 x 8, float32) += a (16 x 16) b (16 x 8). c[0], c[1]: row g, columns 2t and 2t + 1; c[2], c[3]: row g + 8.
// b0: rows 2t and 2t + 1 of column g; b1: 8 rows further down.
template <class T>
__device__ __forceinline__ void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  if constexpr (std::is_same_v<T, bfloat16>)
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  else
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Four 8 x 8 matrices; lane 8 i + j gives the address of row j of matrix i. to[i]: row g of matrix i, columns 2t, 2t + 1.
__device__ __forceinline__ void load_matrices(uint32_t (&to)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address));
}

// The same, each matrix transposed on the way.
__device__ __forceinline__ void load_matrices_transposed(uint32_t (&to)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address));
}

// 16 bytes from global to shared memory, or 16 zeros when nothing is there. They have arrived after wait_for_copies.
__device__ __forceinline__ void copy_16_bytes(uint32_t to, const void* from, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(there ? 16 : 0) : "memory");
}

__device__ __forceinline__ void copy_4_bytes(uint32_t to, const void* from, bool there) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(there ? 4 : 0) : "memory");
}

// Closes a group of copies.
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Until this thread's copies have arrived, but for the last kGroups groups. Other threads see them after a barrier.
template <int kGroups>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
}

// Two values of T in a register, the first in the lower half.
template <class T>
__device__ __forceinline__ uint32_t pack(float first, float second) {
  uint32_t both;
  if constexpr (std::is_same_v<T, bfloat16>)
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
  else
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
  return both;
}

template <class T>
__device__ __forceinline__ float2 unpack(uint32_t both) {
  if constexpr (std::is_same_v<T, bfloat16>)
    return make_float2(__uint_as_float(both << 16), __uint_as_float(both & 0xffff0000u));
  else
    return __half22float2(*reinterpret_cast<const __half2*>(&both));
}

// 2 to the x, to 2 units in the last place; 0 for -infinity.
__device__ __forceinline__ float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

}  // namespace jarvis

#endif

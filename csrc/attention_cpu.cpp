// Attention on the CPU: one head for any processor, the choice of instruction set, the split over threads.
#include "attention.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "cpu.h"

namespace jarvis::attention {
namespace portable {
namespace {
#include "lanes.inc"
#include "halves.inc"
#include "panels.inc"
}  // namespace
#include "attention.inc"
#include "attention_forward.inc"
#include "attention_backward.inc"
}  // namespace portable

#ifdef JARVIS_AVX2_BEGIN
namespace avx2 {
template <class Number>
void forward_rows(const Forward<Number>& args, int64_t b, int64_t h, int64_t begin, int64_t end);
template <class Number>
void backward_head(const Backward<Number>& args, int64_t b, int64_t h);
}  // namespace avx2
namespace avx512 {
template <class Number>
void forward_rows(const Forward<Number>& args, int64_t b, int64_t h, int64_t begin, int64_t end);
template <class Number>
void backward_head(const Backward<Number>& args, int64_t b, int64_t h);
}  // namespace avx512
#else
namespace avx2 = portable;
namespace avx512 = portable;
#endif

namespace {

constexpr int64_t kFlopsPerTask = 100'000;  // some 2 µs of work: below this a second thread costs more than it brings
constexpr int64_t kRowsPerTask = 192;       // fewer would spend their time packing keys; a multiple of the strip

int64_t parts(int64_t n, int64_t of) { return (n + of - 1) / of; }

// body(task) for each task, handed out one by one so that a disturbed core does less. The split into tasks never
// changes a result: each task writes its own rows.
template <class Body>
void for_each_task(int64_t tasks, int64_t flops_per_task, const Body& body) {
  const int64_t threads = std::min<int64_t>({thread_count(), tasks, 1 + tasks * flops_per_task / kFlopsPerTask});
  std::atomic<int64_t> counter = 0;
  const auto drain = [&](int64_t, int64_t) {
    for (int64_t task = counter++; task < tasks; task = counter++) body(task);
  };
  if (threads <= 1)
    drain(0, 1);
  else
    parallel_for(0, threads, 1, drain);
}

}  // namespace

template <class Number>
void forward_cpu(const Forward<Number>& a) {
  const auto rows = choose(portable::forward_rows<Number>, avx2::forward_rows<Number>, avx512::forward_rows<Number>);
  const int64_t heads = a.B * a.H;
  // A head a task; with few heads and many rows, blocks of rows, the longest (the last) first.
  const int64_t blocks = heads >= 2 * thread_count() ? 1 : std::max<int64_t>(1, a.T / kRowsPerTask);
  const int64_t rows_per_block = parts(parts(a.T, blocks), 48) * 48;
  for_each_task(heads * blocks, 4 * a.T * a.S * a.D / blocks, [&](int64_t task) {
    const int64_t block = blocks - 1 - task / heads, head = task % heads;
    const int64_t begin = block * rows_per_block, end = std::min(a.T, begin + rows_per_block);
    if (begin < end) rows(a, head / a.H, head % a.H, begin, end);
  });
}

template <class Number>
void backward_cpu(const Backward<Number>& a) {
  const auto head = choose(portable::backward_head<Number>, avx2::backward_head<Number>, avx512::backward_head<Number>);
  // One task a key head: the queries that share it add to the same dk and dv, in a fixed order.
  const int64_t flops = 10 * a.T * a.S * a.D * (a.Hkv > 0 ? a.H / a.Hkv : 0);
  for_each_task(a.B * a.Hkv, flops, [&](int64_t task) { head(a, task / a.Hkv, task % a.Hkv); });
}

template void forward_cpu(const Forward<float>&);
template void forward_cpu(const Forward<bfloat16>&);
template void forward_cpu(const Forward<float16>&);
template void backward_cpu(const Backward<float>&);
template void backward_cpu(const Backward<bfloat16>&);
template void backward_cpu(const Backward<float16>&);

void first_visible(const Shape& shape, int64_t window, const int32_t* document, int32_t* first) {
  const int64_t T = shape.T, S = shape.S;
  for (int64_t b = 0; b < shape.B; ++b, first += T) {
    for (int64_t t = 0; t < T; ++t)
      first[t] = window > 0 ? static_cast<int32_t>(std::max<int64_t>(0, S - T + t - window + 1)) : 0;
    if (document == nullptr) continue;
    const int32_t* ids = document + b * S;
    int32_t start = 0;
    for (int64_t s = 0; s < S; ++s) {
      if (s > 0 && ids[s] != ids[s - 1]) start = static_cast<int32_t>(s);
      if (s >= S - T) first[s - (S - T)] = std::max(first[s - (S - T)], start);
    }
  }
}

}  // namespace jarvis::attention

// AdamW on the CPU: the chunks for any processor, the choice of instruction set, the tasks, the sums.
#include "adamw.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace jarvis::adamw {
namespace portable {
namespace {
#include "lanes.inc"
#include "halves.inc"
}
#include "adamw.inc"
}  // namespace portable

#ifdef JARVIS_AVX2_BEGIN
namespace avx2 {
template <class G>
Sums update_chunk(int64_t n, float* p, float* m, float* v, const G* g, const Factors& f);
template <class G>
double squares_of_chunk(int64_t n, const G* g);
}  // namespace avx2
namespace avx512 {
template <class G>
Sums update_chunk(int64_t n, float* p, float* m, float* v, const G* g, const Factors& f);
template <class G>
double squares_of_chunk(int64_t n, const G* g);
}  // namespace avx512
#else
namespace avx2 = portable;
namespace avx512 = portable;
#endif

namespace {

constexpr int64_t kChunk = 16384;  // values of a tensor in one task, at most: 256 KB of four arrays

// A part of a tensor, and its sums: added in this order they are the same whatever the number of threads.
struct Chunk {
  const Operand* operand;
  int64_t first, size;
  Sums sums;
};

// Moments of weights that are rarely used fade into denormal numbers, on which x86 computes a hundred times slower.
// Here they are zeros while this lives; on other processors nothing happens.
class FlushDenormals {
 public:
#if defined(__x86_64__)
  explicit FlushDenormals(bool wanted) : before_(_mm_getcsr()) {
    if (wanted) _mm_setcsr(before_ | 0x8040);  // results (bit 15) and operands (bit 6)
  }
  ~FlushDenormals() { _mm_setcsr(before_); }

 private:
  unsigned before_;
#else
  explicit FlushDenormals(bool) {}
#endif
};

std::vector<Chunk> cut(const std::vector<Operand>& operands) {
  std::vector<Chunk> chunks;
  for (const Operand& operand : operands)
    for (int64_t first = 0; first < operand.size; first += kChunk)
      chunks.push_back({&operand, first, std::min(kChunk, operand.size - first), {}});
  return chunks;
}

// Whether zeros in the place of denormal numbers (below 1.2e-38) change nothing: eps has to outweigh them, and the
// portable way from float16 leads through denormal floats.
bool may_flush(const std::vector<Operand>& operands, const Settings& settings) {
  const auto is_half = [](const Operand& operand) { return operand.type == GradientType::float16; };
  return settings.eps >= 1e-20 && (use_avx2() || std::none_of(operands.begin(), operands.end(), is_half));
}

// body(task) for each task, handed out one by one so that a disturbed core does less.
template <class Body>
void for_each_task(int64_t tasks, bool flush, const Body& body) {
  std::atomic<int64_t> next = 0;
  const auto drain = [&](int64_t, int64_t) {
    const FlushDenormals guard(flush);
    for (int64_t task = next++; task < tasks; task = next++) body(task);
  };
  const int64_t threads = std::min<int64_t>(thread_count(), tasks);
  if (threads <= 1)
    drain(0, 1);
  else
    parallel_for(0, threads, 1, drain);
}

// body(gradient) with the chunk's gradient in its type.
template <class Body>
void with_gradient(const Chunk& chunk, const Body& body) {
  const void* g = chunk.operand->g;
  switch (chunk.operand->type) {
    case GradientType::float32: return body(static_cast<const float*>(g) + chunk.first);
    case GradientType::bfloat16: return body(static_cast<const bfloat16*>(g) + chunk.first);
    case GradientType::float16: return body(static_cast<const float16*>(g) + chunk.first);
  }
}

template <class G>
double squares(const Chunk& chunk, const G* g) {
  return choose(portable::squares_of_chunk<G>, avx2::squares_of_chunk<G>, avx512::squares_of_chunk<G>)(chunk.size, g);
}

template <class G>
Sums update(const Chunk& chunk, const G* g, const Factors& factors) {
  const auto run = choose(portable::update_chunk<G>, avx2::update_chunk<G>, avx512::update_chunk<G>);
  const Operand& o = *chunk.operand;
  return run(chunk.size, o.p + chunk.first, o.m + chunk.first, o.v + chunk.first, g, factors);
}

float total_norm(const std::vector<Chunk>& chunks) {
  double total = 0;
  for (const Chunk& chunk : chunks) total += chunk.sums.gradient;
  return static_cast<float>(std::sqrt(total));
}

std::vector<Factors> factors_of(const std::vector<Operand>& operands, const Settings& s, float clip) {
  const double correction1 = 1 - std::pow(s.beta1, s.step), correction2 = 1 - std::pow(s.beta2, s.step);
  std::vector<Factors> factors;
  for (const Operand& operand : operands)
    factors.push_back({clip, static_cast<float>(1 - s.beta1), static_cast<float>(s.beta2),
                       static_cast<float>(1 - s.beta2), static_cast<float>(1 / std::sqrt(correction2)),
                       static_cast<float>(s.eps), static_cast<float>(operand.lr / correction1),
                       static_cast<float>(operand.lr * operand.weight_decay)});
  return factors;
}

void write_norms(const std::vector<Operand>& operands, const std::vector<Chunk>& chunks, const Norms& norms) {
  auto chunk = chunks.begin();
  for (size_t i = 0; i < operands.size(); ++i) {
    Sums total{};
    for (; chunk != chunks.end() && chunk->operand == &operands[i]; ++chunk) {
      total.gradient += chunk->sums.gradient;
      total.update += chunk->sums.update;
      total.weight += chunk->sums.weight;
    }
    norms.gradient[i] = static_cast<float>(std::sqrt(total.gradient));
    norms.update[i] = static_cast<float>(std::sqrt(total.update));
    norms.weight[i] = static_cast<float>(std::sqrt(total.weight));
  }
}

}  // namespace

void step_cpu(const std::vector<Operand>& operands, const Settings& settings, const Norms& norms) {
  std::vector<Chunk> chunks = cut(operands);
  const int64_t n = static_cast<int64_t>(chunks.size());
  const bool flush = may_flush(operands, settings);
  float clip = 1;
  if (std::isfinite(settings.max_norm)) {
    for_each_task(n, flush, [&](int64_t task) {
      Chunk& chunk = chunks[task];
      with_gradient(chunk, [&](auto* g) { chunk.sums.gradient = squares(chunk, g); });
    });
    const float factor = static_cast<float>(settings.max_norm) / (total_norm(chunks) + 1e-6f);
    clip = factor > 1 ? 1 : factor;  // not a minimum, which could hide a NaN
  }
  const std::vector<Factors> factors = factors_of(operands, settings, clip);
  for_each_task(n, flush, [&](int64_t task) {
    Chunk& chunk = chunks[n - 1 - task];  // backwards: the gradients that were read last are still in the cache
    const Factors& own = factors[chunk.operand - operands.data()];
    with_gradient(chunk, [&](auto* g) { chunk.sums = update(chunk, g, own); });
  });
  *norms.total = total_norm(chunks);
  write_norms(operands, chunks, norms);
}

}  // namespace jarvis::adamw

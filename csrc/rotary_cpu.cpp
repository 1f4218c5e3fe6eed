// Rotary positions on the CPU: the turn for any processor, the choice of instruction set, the split over threads.
#include "rotary.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "cpu.h"

namespace jarvis::rotary {
namespace portable {
namespace {
#include "lanes.inc"
#include "halves.inc"
}
#include "rotary.inc"
}  // namespace portable

#ifdef JARVIS_AVX2_BEGIN
namespace avx2 {
template <class T>
void turn_tokens(const Turn<T>& a, int64_t begin, int64_t end);
}
namespace avx512 {
template <class T>
void turn_tokens(const Turn<T>& a, int64_t begin, int64_t end);
}
#else
namespace avx2 = portable;
namespace avx512 = portable;
#endif

namespace {

constexpr int64_t kValuesPerTask = 16384;  // below this a second thread costs more than it brings

template <class T>
void check_positions(const Turn<T>& a) {
  for (int64_t b = 0; b < (a.positions_batch ? a.batch : 1); ++b) {
    for (int64_t t = 0; t < a.tokens; ++t) {
      const int64_t position = a.positions[b * a.positions_batch + t * a.positions_token];
      if (position < 0 || position >= a.context)
        throw std::out_of_range("rotary: position " + std::to_string(position) + " of token " + std::to_string(t) +
                                " is out of range for tables of " + std::to_string(a.context) + " positions");
    }
  }
}

}  // namespace

template <class T>
void turn_cpu(const Turn<T>& a) {
  if (a.positions && a.batch > 0) check_positions(a);
  const auto turn = choose(portable::turn_tokens<T>, avx2::turn_tokens<T>, avx512::turn_tokens<T>);
  const int64_t grain = std::max<int64_t>(1, kValuesPerTask / std::max<int64_t>(1, a.heads * 2 * a.half));
  parallel_for(0, a.batch * a.tokens, grain, [&](int64_t begin, int64_t end) { turn(a, begin, end); });
}

template void turn_cpu(const Turn<float>&);
template void turn_cpu(const Turn<bfloat16>&);
template void turn_cpu(const Turn<float16>&);

}  // namespace jarvis::rotary

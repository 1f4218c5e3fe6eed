// Large, fresh memory on pages of 2 MB: the system has 512 times fewer to clear, and to find again. No torch here.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace jarvis {

// For memory not written yet; a hint, without effect on small pieces and where the system has no such pages.
inline void ask_for_huge_pages(void* start, std::size_t size) {
#if defined(__linux__)
  constexpr std::uintptr_t kPage = 4096;
  constexpr std::size_t kWorthIt = std::size_t{4} << 20;  // two huge pages: one lies whole within, wherever it starts
  if (size < kWorthIt) return;
  const std::uintptr_t first = (reinterpret_cast<std::uintptr_t>(start) + kPage - 1) / kPage * kPage;
  const std::uintptr_t last = (reinterpret_cast<std::uintptr_t>(start) + size) / kPage * kPage;
  madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#else
  (void)start, (void)size;
#endif
}

}  // namespace jarvis

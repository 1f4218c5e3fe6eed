// Memory for the ids of a call.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <new>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace jarvis::bpe {

struct PieceOfMemory {
  void* start = nullptr;
  std::size_t size = 0;
  std::size_t touched = 0;  // how much of it takes up memory
  bool mapped = false;
};

// Memory for ids: as much as the texts could need. Pages never written cost nothing, large ones are fewer to ask for, and
// one freed piece waits for the next call: to clear pages anew takes an eighth of the time of a large text.
// Only touched with the interpreter lock held.
class Memory {
 public:
#if defined(__linux__)
  explicit Memory(std::size_t size) {
    if (size > kMapped && waiting_.size >= size) {
      piece_ = std::exchange(waiting_, {});
    } else if (size > kMapped) {
      void* start = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (start == MAP_FAILED) throw std::bad_alloc();
      madvise(start, size, MADV_HUGEPAGE);
      piece_ = {start, size, 0, true};
    } else {
      allocate(size);
    }
    before_ = std::exchange(piece_.touched, piece_.size);  // until it is known better
  }
  ~Memory() {
    if (!piece_.mapped) {
      std::free(piece_.start);
    } else if (piece_.touched <= kWaiting && piece_.size > waiting_.size) {
      std::swap(piece_, waiting_);
      if (piece_.start) munmap(piece_.start, piece_.size);
    } else {
      munmap(piece_.start, piece_.size);
    }
  }
#else
  explicit Memory(std::size_t size) { allocate(size); }
  ~Memory() { std::free(piece_.start); }
#endif
  Memory(const Memory&) = delete;
  void* start() const { return piece_.start; }
  // Only the first bytes are needed from now on.
  void shrink(std::size_t size) {
#if defined(__linux__)
    if (piece_.mapped) {
      // Threads wrote as much again further on. Of a large array that goes back to the system; of a small one it stays
      // for the next call: to clear large pages anew can take longer than to encode.
      constexpr std::size_t kLargePage = 2 << 20;
      piece_.touched = std::max(before_, 2 * size);
      const std::size_t kept = (size + kLargePage - 1) / kLargePage * kLargePage;
      if (piece_.touched > kWaiting && kept < piece_.size) {
        madvise(static_cast<char*>(piece_.start) + kept, piece_.size - kept, MADV_DONTNEED);
        piece_.touched = kept;
      }
      return;
    }
#endif
    if (void* smaller = std::realloc(piece_.start, std::max<std::size_t>(size, 1))) piece_.start = smaller;
  }

 private:
  static constexpr std::size_t kMapped = 4 << 20;
  static constexpr std::size_t kWaiting = 16 << 20;
  void allocate(std::size_t size) {
    piece_ = {std::malloc(std::max<std::size_t>(size, 1)), size, 0, false};
    if (!piece_.start) throw std::bad_alloc();
  }
  static inline PieceOfMemory waiting_;
  PieceOfMemory piece_;
  std::size_t before_ = 0;  // what earlier calls touched
};

}  // namespace jarvis::bpe

// Where a training's large tensors lie: one range of addresses, whose freed blocks are used again. No torch here.
//
// The range is reserved without memory and opened from its lower end as it fills. A block is the smallest free one that
// is large enough, its rest stays free, and free neighbours join. Only large blocks live here, so none is caught between
// small ones that stay; their sizes return at every step, so the holes fit. Memory once opened is kept to the end.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>

namespace jarvis {

class Arena {
 public:
  static constexpr std::size_t kSmallest = std::size_t{64} << 10;  // bytes: less is the C library's

  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Takes addresses, not memory; false if the system gives none.
  bool reserve(std::size_t bytes);
  // A block of at least `bytes`, aligned to a page; null where the range or the memory is at its end.
  void* allocate(std::size_t bytes);
  // Whether the block was one of these.
  bool release(void* block);

  bool contains(const void* place) const { return place >= base_ && place < base_ + reserved_; }
  std::size_t in_use() const { return in_use_; }  // bytes of the blocks that are handed out
  std::size_t opened() const { return opened_; }  // bytes from the range's start that can be written

  // So that a fork's child never inherits a lock that no thread of it will open.
  std::mutex& mutex() { return mutex_; }

 private:
  void* grow(std::size_t bytes);
  void add_free(char* place, std::size_t size);
  void remove_free(std::map<char*, std::size_t>::iterator block);

  std::mutex mutex_;
  char* base_ = nullptr;
  std::size_t reserved_ = 0, opened_ = 0, top_ = 0, in_use_ = 0;  // [0, top_): every block that was ever handed out
  std::map<char*, std::size_t> free_;                             // by place
  std::set<std::pair<std::size_t, char*>> free_by_size_;
  std::unordered_map<char*, std::size_t> used_;
};

}  // namespace jarvis

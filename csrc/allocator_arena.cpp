#include <sys/mman.h>

#include <algorithm>
#include <iterator>

#include "arena.h"

namespace jarvis {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kOpenedAtOnce = std::size_t{32} << 20;

std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

}  // namespace

bool Arena::reserve(std::size_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (base_) return true;
  void* range = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (range == MAP_FAILED) return false;
  base_ = static_cast<char*>(range);
  reserved_ = bytes;
  return true;
}

void* Arena::allocate(std::size_t bytes) {
  if (bytes > reserved_) return nullptr;  // also what would overflow in rounding
  const std::size_t size = round_up(std::max<std::size_t>(bytes, 1), kPage);
  std::lock_guard<std::mutex> lock(mutex_);
  const auto fit = free_by_size_.lower_bound({size, nullptr});
  if (fit == free_by_size_.end()) return grow(size);
  const auto [found, place] = *fit;
  remove_free(free_.find(place));
  const std::size_t taken = found - size >= kSmallest ? size : found;
  if (taken < found) add_free(place + taken, found - taken);
  used_[place] = taken;
  in_use_ += taken;
  return place;
}

// At the top, a free block that ends there included.
void* Arena::grow(std::size_t size) {
  char* place = base_ + top_;
  const auto last = free_.empty() ? free_.end() : std::prev(free_.end());
  const bool joins = last != free_.end() && last->first + last->second == place;
  if (joins) place = last->first;
  const std::size_t end = static_cast<std::size_t>(place - base_) + size;
  if (end > reserved_) return nullptr;
  if (end > opened_) {
    const std::size_t to = std::min(round_up(end, kOpenedAtOnce), reserved_ / kPage * kPage);
    if (end > to || mprotect(base_ + opened_, to - opened_, PROT_READ | PROT_WRITE) != 0) return nullptr;
    opened_ = to;
  }
  if (joins) remove_free(last);
  top_ = end;
  used_[place] = size;
  in_use_ += size;
  return place;
}

bool Arena::release(void* block) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = used_.find(static_cast<char*>(block));
  if (found == used_.end()) return false;
  char* place = found->first;
  std::size_t size = found->second;
  used_.erase(found);
  in_use_ -= size;
  const auto next = free_.find(place + size);
  if (next != free_.end()) {
    size += next->second;
    remove_free(next);
  }
  const auto after = free_.lower_bound(place);
  if (after != free_.begin()) {
    const auto before = std::prev(after);
    if (before->first + before->second == place) {
      place = before->first;
      size += before->second;
      remove_free(before);
    }
  }
  add_free(place, size);
  return true;
}

void Arena::add_free(char* place, std::size_t size) {
  free_[place] = size;
  free_by_size_.insert({size, place});
}

void Arena::remove_free(std::map<char*, std::size_t>::iterator block) {
  free_by_size_.erase({block->second, block->first});
  free_.erase(block);
}

}  // namespace jarvis

// jarvis_nano._allocator: torch's CPU tensors of 64 KB and more in an arena (arena.h), once it is asked for.
//
// The one module that includes c10, which promises no stable ABI: it names the torch that it was compiled for, and
// jarvis_nano/training/allocator.py refuses it under another.
#include <c10/core/CPUAllocator.h>
#include <pthread.h>
#include <pybind11/pybind11.h>
#include <torch/headeronly/version.h>

#include "arena.h"

namespace {

// Never destroyed: tensors may be freed after the statics are.
jarvis::Arena& arena() {
  static jarvis::Arena& only = *new jarvis::Arena;
  return only;
}

void release(void* block) {
  if (!arena().contains(block)) return c10::GetDefaultCPUAllocator()->raw_deallocate(block);
  c10::profiledCPUMemoryReporter().Delete(block);
  arena().release(block);
}

class ArenaAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* block = bytes >= jarvis::Arena::kSmallest ? arena().allocate(bytes) : nullptr;
    if (block) {
      c10::profiledCPUMemoryReporter().New(block, bytes);
    } else {  // also at the arena's end: it raises torch's own error if there is no memory
      block = c10::GetDefaultCPUAllocator()->raw_allocate(bytes);
    }
    return {block, block, &release, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }
};

// Whether the arena is torch's CPU allocator from now on.
bool install(size_t bytes) {
  static const bool installed = [bytes] {
    if (!arena().reserve(bytes)) return false;
    pthread_atfork([] { arena().mutex().lock(); }, [] { arena().mutex().unlock(); }, [] { arena().mutex().unlock(); });
    constexpr uint8_t kAboveDefault = 1;
    c10::SetCPUAllocator(new ArenaAllocator, kAboveDefault);
    return true;
  }();
  return installed;
}

}  // namespace

PYBIND11_MODULE(_allocator, m) {
  m.doc() = "Torch's large CPU tensors in one range of addresses; see jarvis_nano.training.allocator.";
  m.attr("TORCH_VERSION") = TORCH_VERSION;
  m.def("install", &install, pybind11::arg("bytes"), "Reserve addresses and set torch's CPU allocator, for good.");
  m.def("bytes_in_use", [] { return arena().in_use(); });
  m.def("bytes_opened", [] { return arena().opened(); });
}

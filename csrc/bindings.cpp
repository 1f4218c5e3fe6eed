// The compiled module: torch's threads for the kernels, and what the build and the processor are. The ops' own bindings
// stand in <op>_bindings.cpp.
#include <Python.h>

#include "bindings.h"
#include "peak.h"

namespace jarvis {

void parallel_ranges(int64_t begin, int64_t end, int64_t grain, void (*run)(int64_t, int64_t, void*), void* context) {
  if (end > begin) TORCH_ERROR_CODE_CHECK(torch_parallel_for(begin, end, grain, run, context));
}

int thread_count() { return static_cast<int>(torch::stable::get_num_threads()); }

namespace {

// 0: the CPU kernels run their portable code; 1: that for AVX2; 2: that for AVX-512.
int64_t cpu_instruction_set() { return static_cast<int64_t>(instruction_set()); }

// 1: CUDA kernels are compiled in.
int64_t has_cuda_kernels() {
#ifdef JARVIS_NANO_CUDA
  return 1;
#else
  return 0;
#endif
}

// For benchmarks/peaks.py, which takes the time: rounds of multiply-adds -> floating-point operations done.
int64_t multiply_add(int64_t rounds) { return peak::multiply_add_cpu(rounds); }

STABLE_TORCH_LIBRARY_FRAGMENT(jarvis_nano, m) {
  m.def("cpu_instruction_set() -> int");
  m.def("has_cuda_kernels() -> int");
  m.def("multiply_add(int rounds) -> int");
}

STABLE_TORCH_LIBRARY_IMPL(jarvis_nano, CompositeExplicitAutograd, m) {
  m.impl("cpu_instruction_set", TORCH_BOX(&cpu_instruction_set));
  m.impl("has_cuda_kernels", TORCH_BOX(&has_cuda_kernels));
  m.impl("multiply_add", TORCH_BOX(&multiply_add));
}

}  // namespace
}  // namespace jarvis

// `import jarvis_nano._ops` loads the library; the registrations above happen as it loads.
PyMODINIT_FUNC PyInit__ops(void) {
  static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_ops", "Compiled kernels; see jarvis_nano.kernels.", -1,
                               nullptr, nullptr, nullptr, nullptr, nullptr};
  return PyModule_Create(&module);
}

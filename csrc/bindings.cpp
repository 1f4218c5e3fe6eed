// The ops' kernels as torch sees them: checks, allocation, threads. The only file that includes torch, by its stable
// ABI. Schemas, fakes and gradients are registered in kernels/<op>/op.py; one section an op here.
#include <Python.h>

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <optional>
#include <tuple>
#include <vector>

#include "cpu.h"

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

namespace jarvis {

void parallel_ranges(int64_t begin, int64_t end, int64_t grain, void (*run)(int64_t, int64_t, void*), void* context) {
  if (end > begin) TORCH_ERROR_CODE_CHECK(torch_parallel_for(begin, end, grain, run, context));
}

int thread_count() { return static_cast<int>(torch::stable::get_num_threads()); }

namespace {

// Row-major and dense, copied only where it is not so already.
Tensor dense(const Tensor& tensor) { return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor); }

// 1: the kernels run their AVX2 code; 0: the portable one.
int64_t cpu_avx2() { return use_avx2() ? 1 : 0; }

STABLE_TORCH_LIBRARY_FRAGMENT(jarvis_nano, m) { m.def("cpu_avx2() -> int"); }
STABLE_TORCH_LIBRARY_IMPL(jarvis_nano, CompositeExplicitAutograd, m) { m.impl("cpu_avx2", TORCH_BOX(&cpu_avx2)); }

}  // namespace
}  // namespace jarvis

// `import jarvis_nano._ops` loads the library; the registrations above happen as it loads.
PyMODINIT_FUNC PyInit__ops(void) {
  static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_ops", "Compiled kernels; see jarvis_nano.kernels.", -1,
                               nullptr, nullptr, nullptr, nullptr, nullptr};
  return PyModule_Create(&module);
}

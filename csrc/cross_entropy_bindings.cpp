// Cross-entropy over logits as torch sees it: kernels/cross_entropy/chunks.py.
#include "cross_entropy.h"

#include "bindings.h"
#include "huge_pages.h"

namespace jarvis {
namespace {

// logits (rows, V) become the loss's gradient (if wanted); loss, log_z, entropy and hit (rows) are written.
void cross_entropy_rows(Tensor logits, const Tensor& target, Tensor loss, Tensor log_z, Tensor entropy, Tensor hit,
                        double z_loss, bool gradient) {
  const int64_t rows = target.numel(), columns = logits.size(1);
  STD_TORCH_CHECK(logits.scalar_type() == ScalarType::Float && logits.is_contiguous() && logits.size(0) == rows &&
                      target.scalar_type() == ScalarType::Long && target.is_contiguous(),
                  "cross_entropy: ", rows, " targets for ", logits.size(0), " rows of ", columns,
                  " logits; expected dense float32 logits and int64 targets");
  for (const Tensor& figure : {loss, log_z, entropy, hit})
    STD_TORCH_CHECK(figure.scalar_type() == ScalarType::Float && figure.is_contiguous() && figure.numel() == rows,
                    "cross_entropy: a result of ", figure.numel(), " values for ", rows, " rows; expected dense float32");
  const int64_t* chosen = pointer<int64_t>(target);
  for (int64_t row = 0; row < rows; ++row)
    STD_TORCH_CHECK(chosen[row] >= 0 && chosen[row] < columns, "cross_entropy: target ", chosen[row], " of row ", row,
                    " is not one of the ", columns, " ids");
  cross_entropy::rows_cpu({rows, columns, pointer<float>(logits), chosen, static_cast<float>(z_loss), gradient,
                           pointer<float>(loss), pointer<float>(log_z), pointer<float>(entropy), pointer<float>(hit)});
}

// `fresh`, dense and not written yet, will lie on large pages where the system has them.
void use_huge_pages(Tensor fresh) {
  STD_TORCH_CHECK(fresh.is_contiguous(), "use_huge_pages_: a strided tensor of ", fresh.numel(),
                  " values; expected a dense one");
  ask_for_huge_pages(fresh.data_ptr(), fresh.numel() * fresh.element_size());
}

STABLE_TORCH_LIBRARY_IMPL(jarvis_nano, CPU, m) {
  m.impl("cross_entropy_rows_", TORCH_BOX(&cross_entropy_rows));
  m.impl("use_huge_pages_", TORCH_BOX(&use_huge_pages));
}

}  // namespace
}  // namespace jarvis

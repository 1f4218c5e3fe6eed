// From what kernels/bpe/tokenizer_file.py makes of a tokenizer.json to the encoder's Model.
#pragma once

#include <pybind11/pybind11.h>

#include "bpe.h"

namespace jarvis::bpe {

// Model of the dict of BpeFile.native_model(). ValueError or KeyError on a dict that is not one.
Model model_of(const pybind11::dict& description);

// Why the matcher of patterns cannot run one, as tokenizers or tiktoken would; empty if it can.
std::string refusal(const std::string& pattern, bool tiktoken);

}  // namespace jarvis::bpe

// Byte-level byte-pair encoding: UTF-8 to ids, exactly as the tokenizers library. No Python and no torch here:
// bpe_module.cpp binds it, kernels/bpe/reference.py is its readable twin.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bpe_words.h"

namespace jarvis::bpe {

// A token that is looked for in the text before words are cut.
struct AddedToken {
  std::string content;
  std::uint32_t id;
  bool special;             // only looked for when the caller asks for special tokens
  bool lstrip, rstrip;      // takes the white space on that side along
  bool normalized;          // looked for in a second pass, in what the first left
};

// What a tokenizer.json says, ids checked by the caller.
struct Model {
  std::vector<std::string> tokens;               // the bytes of each id
  std::vector<std::uint32_t> base;               // 256: the id of each byte
  std::vector<std::uint32_t> merges;             // 3 a merge, by rank: left, right, joined
  std::vector<AddedToken> added;
  std::unordered_map<std::string, std::uint32_t> words;  // ignore_merges: words that are tokens as they are
  Pattern pattern = Pattern::gpt2;
};

class Encoder {
 public:
  explicit Encoder(Model model);
  std::size_t size() const { return tokens_.size(); }
  // Ids of valid UTF-8, written from `out` on; the end of them. `out` has room for size + kSlack ids.
  template <class Id>
  Id* encode(const Byte* text, std::size_t size, bool special, Id* out, Workspace<Id>& workspace) const;
  // The bytes of ids below size(), special tokens left out unless asked for.
  std::size_t decoded_size(const std::uint32_t* ids, std::size_t count, bool special) const;
  void decode(const std::uint32_t* ids, std::size_t count, bool special, char* out) const;

 private:
  template <class Id>
  Id* encode_around(int pass, const Byte* at, const Byte* end, bool special, Id* out, Workspace<Id>& workspace) const;
  const AddedToken* added_at(int pass, const Byte* at, const Byte* end) const;

  Merger merger_;
  Pattern pattern_;
  std::vector<std::string> tokens_;
  std::vector<bool> is_special_;
  bool has_plain_added_ = false;
  std::vector<AddedToken> added_[2];           // by pass, the longest first
  std::vector<std::uint32_t> starts_[2][256];  // by first byte: places in added_
};

}  // namespace jarvis::bpe

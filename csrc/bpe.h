// Byte-pair encoding: UTF-8 to ids, exactly as the tokenizers library. No Python and no torch here:
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

#include "bpe_cut.h"
#include "bpe_normalize.h"
#include "bpe_words.h"

namespace jarvis::bpe {

// A token that is looked for in the text before words are cut.
struct AddedToken {
  std::string content;
  std::uint32_t id;
  bool special;             // only looked for when the caller asks for special tokens
  bool lstrip, rstrip;      // takes the white space on that side along
  bool normalized;          // looked for in a second pass, in what the first left, normalized
  bool single_word;         // not beside a letter, mark, number or _
};

// What a tokenizer.json says, ids checked by the caller.
struct Model {
  std::vector<std::string> tokens;               // the bytes of each id
  std::vector<std::uint32_t> base;               // 256: the id of each byte; empty if only characters have ids
  std::vector<std::uint32_t> merges;             // 3 a merge, by rank: left, right, joined
  std::vector<std::uint32_t> ranks;              // of the merges, where it is not their place
  std::vector<AddedToken> added;                 // those looked for first in front; contents normalized where they are
  std::unordered_map<std::string, std::uint32_t> words;  // ignore_merges: words that are tokens as they are
  std::vector<NormalizerStep> normalizer;
  std::vector<CutStep> cuts;
  // Words made of characters: code point -> id. See Merger::by_character.
  bool by_character = false, fuse_unknown = false;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> characters;
  std::uint32_t unknown = kNoId;
};

class Encoder {
 public:
  explicit Encoder(Model model);
  std::size_t size() const { return tokens_.size(); }
  // At most how many ids a text of `size` bytes has. More than `size` only where a normalizer or a prefix adds text.
  std::size_t room(std::size_t size) const;
  // Ids of valid UTF-8, written from `out` on; the end of them. `out` has room for room(size) + kSlack ids.
  template <class Id>
  Id* encode(const Byte* text, std::size_t size, bool special, Id* out, Workspace<Id>& workspace) const;
  // Whether all that is done to a text is to cut and merge its words: then it may be encoded in windows and parts.
  bool is_plain(bool special) const;
  // The words of such a text, or of the beginning of one (`whole` false: up to where they are sure). Where it stopped,
  // and the end of the ids. kPadding bytes past the end can be read.
  template <class Id>
  std::pair<const Byte*, Id*> encode_plain(const Byte* at, const Byte* end, bool whole, Id* out,
                                           Workspace<Id>& workspace) const;
  // The number of bytes of ids, in `bytes`; special tokens have none unless asked for. The place of the first id that is
  // not below size(), or `count`.
  template <class Id>
  std::size_t decoded_size(const Id* ids, std::size_t count, bool special, std::size_t& bytes) const;
  // Those bytes, from `out` to `end`. False if they are others than were counted.
  template <class Id>
  bool decode(const Id* ids, std::size_t count, bool special, char* out, char* end) const;

 private:
  // One call: its text, and where its next id goes.
  template <class Id>
  struct Call {
    const Byte *start, *end;
    bool special;
    Id* out;
    Workspace<Id>& workspace;
  };
  template <class Id>
  class IdSink;
  // A stretch of text, by turns: added tokens are cut out; it is normalized; normalized added tokens are cut out; words.
  template <class Id>
  void encode_around(int pass, Cutter::Piece piece, Call<Id>& call) const;
  template <class Id>
  void encode_between(int pass, Cutter::Piece piece, Call<Id>& call) const;
  template <class Id>
  void encode_normalized(Cutter::Piece piece, Call<Id>& call) const;
  template <class Id>
  void encode_piece(Cutter::Piece piece, Call<Id>& call) const;
  const AddedToken* added_at(int pass, const Byte* at, const Byte* end) const;
  const Byte* part_end(const Byte* at, const Byte* end) const;

  Merger merger_;
  Normalizer normalizer_, later_normalizer_;
  Cutter cutter_;
  std::optional<Pattern> only_pattern_;
  Cutter::Joint joint_ = Cutter::Joint::none;  // where a long text is cut, to be normalized and cut in parts
  std::vector<std::string> tokens_;
  // For decoding: the first 16 bytes of each token, and its length, kLong from 16 on; without special tokens too.
  static constexpr Byte kLong = 255;
  struct alignas(16) Beginning {
    char bytes[16] = {};
  };
  std::vector<Beginning> beginnings_;
  std::vector<Byte> lengths_[2];  // by `special`
  bool has_plain_added_[2] = {false, false};   // by pass: tokens that are always looked for
  std::vector<AddedToken> added_[2];           // by pass, the longest first
  std::vector<std::uint32_t> starts_[2][256];  // by first byte: places in added_
  bool begins_[2][256] = {};                   // whether there are any
};

}  // namespace jarvis::bpe

// The encoder: added tokens are cut out, what lies between them goes to bpe_words.cpp.
#include "bpe.h"

#include <algorithm>
#include <cstring>

#include "bpe_scan.h"

namespace jarvis::bpe {

Encoder::Encoder(Model model)
    : merger_(model.base, model.merges, std::move(model.words), model.tokens.size()),
      pattern_(model.pattern),
      tokens_(std::move(model.tokens)),
      is_special_(tokens_.size()) {
  for (AddedToken& token : model.added) {
    if (token.content.empty() || token.id >= tokens_.size()) throw std::invalid_argument("added token out of range");
    is_special_[token.id] = is_special_[token.id] || token.special;
    has_plain_added_ = has_plain_added_ || !token.special;
    added_[token.normalized].push_back(std::move(token));
  }
  for (int pass = 0; pass < 2; ++pass) {
    std::stable_sort(added_[pass].begin(), added_[pass].end(), [](const AddedToken& left, const AddedToken& right) {
      return left.content.size() > right.content.size();
    });
    for (std::size_t place = 0; place < added_[pass].size(); ++place) {
      starts_[pass][static_cast<Byte>(added_[pass][place].content[0])].push_back(static_cast<std::uint32_t>(place));
    }
  }
}

template <class Id>
Id* Encoder::encode(const Byte* text, std::size_t size, bool special, Id* out, Workspace<Id>& workspace) const {
  if (special || has_plain_added_) return encode_around(0, text, text + size, special, out, workspace);
  return encode_words(pattern_, merger_, text, text + size, false, out, workspace);
}

// The longest added token that begins here, among those of this pass.
const AddedToken* Encoder::added_at(int pass, const Byte* at, const Byte* end) const {
  for (std::uint32_t place : starts_[pass][*at]) {
    const std::string& content = added_[pass][place].content;
    if (content.size() <= static_cast<std::size_t>(end - at) && std::memcmp(at, content.data(), content.size()) == 0) {
      return &added_[pass][place];
    }
  }
  return nullptr;
}

// Cuts the added tokens of this pass out of the text; what lies between goes to the next pass, then to the words.
template <class Id>
Id* Encoder::encode_around(int pass, const Byte* at, const Byte* end, bool special, Id* out,
                           Workspace<Id>& workspace) const {
  if (pass == 2) return encode_words(pattern_, merger_, at, end, false, out, workspace);
  const Byte* done = at;
  while (at < end) {
    const AddedToken* token = added_at(pass, at, end);
    if (!token) {
      ++at;
      continue;
    }
    const Byte* start = at;
    at += token->content.size();
    if (token->special && !special) continue;  // plain text, and nothing is looked for inside it: as the library does
    if (token->lstrip) start = spaces_before(done, start);
    if (done < start) out = encode_around(pass + 1, done, start, special, out, workspace);
    *out++ = static_cast<Id>(token->id);
    if (token->rstrip) at = spaces_after(at, end);
    done = at;
  }
  return done < end ? encode_around(pass + 1, done, end, special, out, workspace) : out;
}

std::size_t Encoder::decoded_size(const std::uint32_t* ids, std::size_t count, bool special) const {
  std::size_t size = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (special || !is_special_[ids[i]]) size += tokens_[ids[i]].size();
  }
  return size;
}

void Encoder::decode(const std::uint32_t* ids, std::size_t count, bool special, char* out) const {
  for (std::size_t i = 0; i < count; ++i) {
    if (!special && is_special_[ids[i]]) continue;
    const std::string& token = tokens_[ids[i]];
    std::memcpy(out, token.data(), token.size());
    out += token.size();
  }
}

template std::uint16_t* Encoder::encode(const Byte*, std::size_t, bool, std::uint16_t*, Workspace<std::uint16_t>&) const;
template std::uint32_t* Encoder::encode(const Byte*, std::size_t, bool, std::uint32_t*, Workspace<std::uint32_t>&) const;

}  // namespace jarvis::bpe

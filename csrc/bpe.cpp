// The encoder: added tokens are cut out, what lies between them goes to bpe_words.cpp.
#include "bpe.h"

#include <algorithm>
#include <cstring>

#include "bpe_blocks.h"
#include "bpe_categories.h"

namespace jarvis::bpe {

namespace {

constexpr std::size_t kPart = 64 << 10;  // stays in the second level of cache, normalized and cut

bool letter(Byte byte) { return static_cast<Byte>((byte | 0x20) - 'a') < 26; }
bool graphic(Byte byte) { return byte > ' ' && byte < 0x7F; }

bool word_character(const Byte* at) { return category_table()[code_at(at)] & kRustWord; }

}  // namespace

Encoder::Encoder(Model model)
    : merger_(model.base, model.merges, model.ranks, std::move(model.words), model.tokens.size()),
      normalizer_(std::move(model.normalizer)),
      later_normalizer_(normalizer_.later_parts()),
      cutter_(std::move(model.cuts)),
      only_pattern_(cutter_.only_pattern()),
      tokens_(std::move(model.tokens)),
      beginnings_(tokens_.size()) {
  for (std::size_t id = 0; id < tokens_.size(); ++id) {
    const std::size_t size = tokens_[id].size();
    std::memcpy(beginnings_[id].bytes, tokens_[id].data(), std::min<std::size_t>(size, 16));
    for (auto& lengths : lengths_) lengths.push_back(size <= 16 ? static_cast<Byte>(size) : kLong);
  }
  if (model.by_character) merger_.by_character(model.characters, model.unknown, model.fuse_unknown);
  if (!(normalizer_.empty() && only_pattern_) && normalizer_.in_parts(cutter_.mark())) joint_ = cutter_.joint();
  for (AddedToken& token : model.added) {
    if (token.content.empty() || token.id >= tokens_.size()) throw std::invalid_argument("added token out of range");
    if (token.special) lengths_[false][token.id] = 0;
    has_plain_added_[token.normalized] |= !token.special;
    added_[token.normalized].push_back(std::move(token));
  }
  for (int pass = 0; pass < 2; ++pass) {
    std::stable_sort(added_[pass].begin(), added_[pass].end(), [](const AddedToken& left, const AddedToken& right) {
      return left.content.size() > right.content.size();
    });
    for (std::size_t place = 0; place < added_[pass].size(); ++place) {
      const auto first = static_cast<Byte>(added_[pass][place].content[0]);
      starts_[pass][first].push_back(static_cast<std::uint32_t>(place));
      begins_[pass][first] = true;
    }
  }
}

std::size_t Encoder::room(std::size_t size) const {
  // Each stretch between added tokens is normalized by itself.
  const std::size_t pieces = added_[0].empty() ? 1 : 2 + size / added_[0].back().content.size();
  return cutter_.most_bytes(normalizer_.most_bytes(size, pieces));
}

bool Encoder::is_plain(bool special) const {
  const bool tokens = special ? !added_[0].empty() || !added_[1].empty() : has_plain_added_[0] || has_plain_added_[1];
  return only_pattern_ && normalizer_.empty() && !tokens;
}

template <class Id>
std::pair<const Byte*, Id*> Encoder::encode_plain(const Byte* at, const Byte* end, bool whole, Id* out,
                                                  Workspace<Id>& workspace) const {
  return encode_words(*only_pattern_, merger_, at, end, whole, true, out, workspace);
}

template <class Id>
Id* Encoder::encode(const Byte* text, std::size_t size, bool special, Id* out, Workspace<Id>& workspace) const {
  if (is_plain(special)) return encode_words(*only_pattern_, merger_, text, text + size, true, false, out, workspace).second;
  Call<Id> call{text, text + size, special, out, workspace};
  encode_around(0, {text, text + size, text + size, true}, call);
  return call.out;
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

// Cuts the added tokens of this pass out of the text; what lies between goes on.
template <class Id>
void Encoder::encode_around(int pass, Cutter::Piece piece, Call<Id>& call) const {
  if (!(call.special ? !added_[pass].empty() : has_plain_added_[pass])) return encode_between(pass, piece, call);
  const Byte* done = piece.at;
  const Byte* spaces_end = piece.at;  // of white space that a token took along: not to be walked through twice
  const auto between = [&](const Byte* start, const Byte* end) {
    if (start < end) encode_between(pass, {start, end, piece.readable, piece.first && start == piece.at}, call);
  };
  for (const Byte* at = piece.at; at < piece.end;) {
    const AddedToken* token = begins_[pass][*at] ? added_at(pass, at, piece.end) : nullptr;
    if (!token) {
      ++at;
      continue;
    }
    const Byte* start = at;
    at += token->content.size();
    // Plain text, and nothing is looked for inside it: as the library does.
    if (token->special && !call.special) continue;
    if (token->single_word && ((start > piece.at && word_character(character_before(start))) ||
                               (at < piece.end && word_character(at)))) {
      continue;
    }
    // The white space before may belong to the token before already; the next token may begin in the white space after.
    if (token->lstrip) start = start > done ? spaces_before(done, start) : done;
    between(done, start);
    *call.out++ = static_cast<Id>(token->id);
    if (token->rstrip && at >= spaces_end) spaces_end = spaces_after(at, piece.end);
    done = token->rstrip ? spaces_end : at;
  }
  between(done, piece.end);
}

template <class Id>
void Encoder::encode_between(int pass, Cutter::Piece piece, Call<Id>& call) const {
  if (pass == 1) return encode_piece(piece, call);
  if (joint_ == Cutter::Joint::none || (call.special ? !added_[1].empty() : has_plain_added_[1])) {
    return encode_normalized(piece, call);
  }
  while (piece.at < piece.end) {
    const Byte* after = part_end(piece.at, piece.end);
    encode_normalized({piece.at, after, piece.readable, piece.first, piece.continues}, call);
    piece = {after, piece.end, piece.readable, false, true};
  }
}

template <class Id>
void Encoder::encode_normalized(Cutter::Piece piece, Call<Id>& call) const {
  const Normalizer& normalizer = piece.continues ? later_normalizer_ : normalizer_;
  if (normalizer.empty()) return encode_around(1, piece, call);
  const std::string_view text{reinterpret_cast<const char*>(piece.at), static_cast<std::size_t>(piece.end - piece.at)};
  const std::string_view normal = normalizer.apply(text, call.workspace.normalized);
  const auto* at = reinterpret_cast<const Byte*>(normal.data());
  const Byte* end = at + normal.size();
  const bool same = at >= piece.at && end <= piece.end;
  encode_around(1, {at, end, same ? piece.readable : end, piece.first, piece.continues}, call);
}

// The first joint that leaves a part of some size, or the end.
const Byte* Encoder::part_end(const Byte* at, const Byte* end) const {
  if (end - at <= static_cast<std::ptrdiff_t>(2 * kPart)) return end;
  for (const Byte* place = at + kPart; place < end; ++place) {
    // One newline alone: of a run of white space GPT-2's pattern leaves the last for the word after it.
    const bool found = joint_ == Cutter::Joint::line ? place[-1] == '\n' && letter(*place) && graphic(place[-2])
                                                     : *place == ' ' && letter(place[-1]);
    if (found) return place;
  }
  return end;
}

// Takes words one by one and turns them into ids many at a time.
template <class Id>
class Encoder::IdSink final : public WordSink {
 public:
  IdSink(const Merger& merger, Call<Id>& call) : merger_(merger), call_(call) {}
  void word(const Byte* at, const Byte* after, const Byte* readable) override {
    if (readable - after < static_cast<std::ptrdiff_t>(kPadding)) {
      flush();
      std::vector<Byte>& tail = call_.workspace.tail;
      tail.assign(at, after);
      tail.resize(tail.size() + kPadding);
      base_ = tail.data();
      add(0, after - at);
      flush();
      return;
    }
    if (count_ == kMost || at != end_) flush();
    if (count_ == 0) base_ = at;
    add(at - base_, after - base_);
    end_ = after;
  }
  void words(Pattern pattern, const Byte* at, const Byte* end, const Byte* readable) override {
    flush();
    const bool padded = readable - end >= static_cast<std::ptrdiff_t>(kPadding);
    call_.out = encode_words(pattern, merger_, at, end, true, padded, call_.out, call_.workspace).second;
  }
  void flush() override {
    if (count_) call_.out = encode_cut_words(base_, starts_, count_, merger_, call_.out, call_.workspace);
    count_ = 0;
    end_ = nullptr;
  }

 private:
  static constexpr std::size_t kMost = 256;
  void add(std::size_t start, std::size_t end) {
    if (end >> 32) throw std::invalid_argument("one word of more than 4 GiB without a break");
    starts_[count_++] = static_cast<std::uint32_t>(start);
    starts_[count_] = static_cast<std::uint32_t>(end);
  }
  const Merger& merger_;
  Call<Id>& call_;
  const Byte *base_ = nullptr, *end_ = nullptr;
  std::size_t count_ = 0;
  std::uint32_t starts_[kMost + 1];
};

template <class Id>
void Encoder::encode_piece(Cutter::Piece piece, Call<Id>& call) const {
  if (piece.at == piece.end) return;
  IdSink<Id> sink(merger_, call);
  if (only_pattern_) return sink.words(*only_pattern_, piece.at, piece.end, piece.readable);
  cutter_.cut(piece, call.workspace.cut, sink);
}

template <class Id>
std::size_t Encoder::decoded_size(const Id* ids, std::size_t count, bool special, std::size_t& bytes) const {
  const Byte* const lengths = lengths_[special].data();
  const std::size_t most = size();
  bytes = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (static_cast<std::uint64_t>(ids[i]) >= most) return i;
    const Byte length = lengths[ids[i]];
    bytes += length < kLong ? length : tokens_[ids[i]].size();
  }
  return count;
}

template <class Id>
bool Encoder::decode(const Id* ids, std::size_t count, bool special, char* out, char* end) const {
  const Byte* const lengths = lengths_[special].data();
  const Beginning* const beginnings = beginnings_.data();
  const std::size_t most = size();
  for (std::size_t i = 0; i < count; ++i) {
    const auto id = static_cast<std::uint64_t>(ids[i]);
    if (id >= most) return false;
    const Byte length = lengths[id];
    if (length < kLong && end - out >= 16) [[likely]] {
      std::memcpy(out, beginnings[id].bytes, 16);  // more than it has: the next token is written over the rest
      out += length;
    } else if (length) {
      const std::string& token = tokens_[id];
      if (static_cast<std::size_t>(end - out) < token.size()) return false;
      std::memcpy(out, token.data(), token.size());
      out += token.size();
    }
  }
  return out == end;
}

#define JARVIS_DECODE_OF(Id)                                                                  \
  template std::size_t Encoder::decoded_size(const Id*, std::size_t, bool, std::size_t&) const; \
  template bool Encoder::decode(const Id*, std::size_t, bool, char*, char*) const;
JARVIS_DECODE_OF(std::uint16_t)
JARVIS_DECODE_OF(std::uint32_t)
JARVIS_DECODE_OF(std::uint64_t)
JARVIS_DECODE_OF(std::int32_t)
JARVIS_DECODE_OF(std::int64_t)
#undef JARVIS_DECODE_OF

template std::pair<const Byte*, std::uint16_t*> Encoder::encode_plain(const Byte*, const Byte*, bool, std::uint16_t*,
                                                                      Workspace<std::uint16_t>&) const;
template std::pair<const Byte*, std::uint32_t*> Encoder::encode_plain(const Byte*, const Byte*, bool, std::uint32_t*,
                                                                      Workspace<std::uint32_t>&) const;
template std::uint16_t* Encoder::encode(const Byte*, std::size_t, bool, std::uint16_t*, Workspace<std::uint16_t>&) const;
template std::uint32_t* Encoder::encode(const Byte*, std::size_t, bool, std::uint32_t*, Workspace<std::uint32_t>&) const;

}  // namespace jarvis::bpe

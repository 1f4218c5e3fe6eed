// Whole texts to ids, as Python holds them: checked or transcoded a window at a time, spread over threads. No Python here.
#pragma once

#include <stdexcept>
#include <vector>

#include "bpe.h"

namespace jarvis::bpe {

// A text in memory: UTF-8 that nobody has checked, or a str as Python stores it.
struct Text {
  enum class Kind { utf8, ascii, one, two, four };  // utf8: from the user; one to four: bytes a unit of a str
  const void* data;
  std::size_t length;  // units
  Kind kind;
  std::size_t most_bytes() const;  // of its UTF-8
  Text part(std::size_t begin, std::size_t end) const;
};

// A byte that is not UTF-8, or a lone surrogate.
struct BadText : std::runtime_error {
  BadText(std::size_t place, std::uint32_t unit, bool surrogate);
  std::size_t place;  // offset of the byte, or index of the character
  std::uint32_t unit;
  bool surrogate;
  std::size_t text = 0;  // which of a batch
};

// Whether it can be UTF-8.
bool is_valid(const Text& text);

// What is asked of every text of a call.
struct Request {
  bool special = false;
  const std::vector<std::uint32_t>* before = nullptr;  // ids put before and after each text
  const std::vector<std::uint32_t>* after = nullptr;
  std::size_t room(const Encoder& encoder, const Text& text) const;  // for the ids of a text
};

// The ids of one text, from `out` on; the end of them. BadText if it cannot be UTF-8.
template <class Id>
Id* encode_text(const Encoder& encoder, const Text& text, const Request& request, Id* out, Workspace<Id>& workspace);

// The texts of a call in parts of about equal size, a part a thread. A long text may lie in several.
struct Part {
  std::size_t first_text, begin;  // a text, and a unit of it
  std::size_t last_text, end;     // up to this unit of the last text
};
std::vector<Part> parts_of(const Encoder& encoder, const std::vector<Text>& texts, const Request& request,
                           std::size_t threads);

// The ids of all texts, one after the other from `out` on, with offsets[i + 1] where text i ends; offsets[0] is 0.
// One workspace for each part. `out` has room for the sum of room() and kSlack for each part.
template <class Id>
Id* encode_texts(const Encoder& encoder, const std::vector<Text>& texts, const Request& request,
                 const std::vector<Part>& parts, Id* out, std::int64_t* offsets,
                 const std::vector<Workspace<Id>*>& workspaces);

}  // namespace jarvis::bpe

// Whole texts to ids. A str is written as UTF-8 a window at a time, so that what is written is still in the cache when its
// words are cut; parts of a long text go to threads of their own.
#include "bpe_text.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <system_error>
#include <thread>

namespace jarvis::bpe {

namespace {

constexpr std::size_t kUnits = 12 << 10;     // of a str, written at once: mostly no more bytes than a window of words has
constexpr std::size_t kPart = 256 << 10;     // units below which a part is not worth a thread
constexpr std::size_t kSearch = 64 << 10;    // how far a place to cut is looked for

template <class Visit>
auto with_units(const Text& text, const Visit& visit) {
  if (text.kind == Text::Kind::two) return visit(static_cast<const std::uint16_t*>(text.data));
  if (text.kind == Text::Kind::four) return visit(static_cast<const std::uint32_t*>(text.data));
  return visit(static_cast<const std::uint8_t*>(text.data));
}

bool is_letter(std::uint32_t unit) { return (unit | 0x20) - 'a' < 26; }

// The last place before `target` where the words on both sides are the same whatever stands on the other: between a
// letter and a space that a letter follows, ASCII all three. Every pattern has a cut there. 0 if none is near.
std::size_t cut_before(const Text& text, std::size_t target) {
  return with_units(text, [&](const auto* units) {
    const std::size_t least = target > kSearch ? target - kSearch : 1;
    for (std::size_t at = std::min(target, text.length - 1); at-- > least;) {
      if (units[at] == ' ' && is_letter(units[at - 1]) && is_letter(units[at + 1])) return at;
    }
    return std::size_t{0};
  });
}

// The bytes as they are. Where the text has no room behind it, encode_words copies its end.
template <class Id>
Id* encode_utf8(const Encoder& encoder, const Text& text, bool special, Id* out, Workspace<Id>& workspace) {
  const auto* bytes = static_cast<const Byte*>(text.data);
  if (text.kind == Text::Kind::utf8) {
    if (const auto place = first_invalid(bytes, text.length)) throw BadText(*place, bytes[*place], false);
  }
  return encoder.encode(bytes, text.length, special, out, workspace);
}

template <class Unit>
Byte* write(const Text& text, const Unit* units, std::size_t from, std::size_t to, Byte* out) {
  const Written written = to_utf8(units + from, to - from, out);
  if (from + written.units < to) {
    const std::size_t place = from + written.units;
    throw BadText(place, units[place], true);
  }
  return written.end;
}

// A str of which the encoder needs to see all at once.
template <class Id>
Id* encode_whole(const Encoder& encoder, const Text& text, bool special, Id* out, Workspace<Id>& workspace) {
  Byte* const buffer = workspace.at_least(text.most_bytes() + kUtf8Slack);
  Byte* const end = with_units(text, [&](const auto* units) { return write(text, units, 0, text.length, buffer); });
  return encoder.encode(buffer, end - buffer, special, out, workspace);
}

// A str of words alone: a window is written, its sure words become ids, the rest moves to the front.
template <class Id>
Id* encode_windows(const Encoder& encoder, const Text& text, Id* out, Workspace<Id>& workspace) {
  std::size_t room = 4 * kUnits;
  Byte* buffer = workspace.at_least(room + kUtf8Slack + kPadding);
  std::size_t held = 0, step = kUnits;
  for (std::size_t done = 0; done < text.length;) {
    const std::size_t upto = std::min(text.length, done + step);
    if (held + text.part(done, upto).most_bytes() > room) {
      room *= 2;
      const std::vector<Byte> kept(buffer, buffer + held);
      buffer = workspace.at_least(room + kUtf8Slack + kPadding);
      std::copy(kept.begin(), kept.end(), buffer);
      continue;
    }
    Byte* const end =
        with_units(text, [&](const auto* units) { return write(text, units, done, upto, buffer + held); });
    done = upto;
    const auto [at, ids] = encoder.encode_plain(buffer, end, done == text.length, out, workspace);
    step = at == buffer ? 2 * step : kUnits;  // a word larger than the window is not looked through again and again
    out = ids;
    held = end - at;
    std::memmove(buffer, at, held);
  }
  return out;
}

template <class Id>
Id* put(const std::vector<std::uint32_t>* ids, Id* out) {
  if (ids) {
    for (const std::uint32_t id : *ids) *out++ = static_cast<Id>(id);
  }
  return out;
}

template <class Id>
Id* encode_part_of(const Encoder& encoder, const Text& text, bool special, Id* out, Workspace<Id>& workspace) {
  if (text.kind == Text::Kind::utf8 || text.kind == Text::Kind::ascii) {
    return encode_utf8(encoder, text, special, out, workspace);
  }
  return encoder.is_plain(special) ? encode_windows(encoder, text, out, workspace)
                                   : encode_whole(encoder, text, special, out, workspace);
}

}  // namespace

std::size_t Text::most_bytes() const {
  switch (kind) {
    case Kind::utf8: case Kind::ascii: return length;
    case Kind::one: return 2 * length;
    case Kind::two: return 3 * length;
    case Kind::four: return 4 * length;
  }
  return length;
}

Text Text::part(std::size_t begin, std::size_t end) const {
  const std::size_t width = kind == Kind::two ? 2 : kind == Kind::four ? 4 : 1;
  return {static_cast<const Byte*>(data) + begin * width, end - begin, kind};
}

BadText::BadText(std::size_t place, std::uint32_t unit, bool surrogate)
    : std::runtime_error("not UTF-8"), place(place), unit(unit), surrogate(surrogate) {}

bool is_valid(const Text& text) {
  if (text.kind == Text::Kind::utf8) return !first_invalid(static_cast<const Byte*>(text.data), text.length);
  if (text.kind != Text::Kind::two && text.kind != Text::Kind::four) return true;
  return with_units(text, [&](const auto* units) {
    return std::none_of(units, units + text.length, [](std::uint32_t unit) { return unit - 0xD800 < 0x800; });
  });
}

std::size_t Request::room(const Encoder& encoder, const Text& text) const {
  return encoder.room(text.most_bytes()) + (before ? before->size() : 0) + (after ? after->size() : 0);
}

template <class Id>
Id* encode_text(const Encoder& encoder, const Text& text, const Request& request, Id* out, Workspace<Id>& workspace) {
  out = put(request.before, out);
  out = encode_part_of(encoder, text, request.special, out, workspace);
  return put(request.after, out);
}

std::vector<Part> parts_of(const Encoder& encoder, const std::vector<Text>& texts, const Request& request,
                           std::size_t threads) {
  std::size_t total = 0;
  for (const Text& text : texts) total += text.length;
  threads = std::max<std::size_t>(1, std::min(threads, total / kPart));
  std::vector<Part> parts;
  std::size_t text = 0, before = 0;  // units of the texts before this one
  Part part{0, 0, 0, 0};
  for (std::size_t i = 1; i < threads; ++i) {
    const std::size_t target = total / threads * i;
    while (text + 1 < texts.size() && before + texts[text].length <= target) before += texts[text++].length;
    const std::size_t inside = target - before;
    const std::size_t begin = text == part.first_text ? part.begin : 0;
    std::size_t cut = 0;  // of this text; its beginning if it cannot be cut
    if (texts[text].length > kPart / 4 && encoder.is_plain(request.special)) cut = cut_before(texts[text], inside);
    if (cut <= begin) cut = begin;
    if (cut == begin && text == part.first_text) continue;
    if (cut > 0) {
      parts.push_back({part.first_text, part.begin, text, cut});
    } else {
      parts.push_back({part.first_text, part.begin, text - 1, texts[text - 1].length});
    }
    part = {text, cut, 0, 0};
  }
  if (!texts.empty()) parts.push_back({part.first_text, part.begin, texts.size() - 1, texts.back().length});
  return parts;
}

template <class Id>
Id* encode_texts(const Encoder& encoder, const std::vector<Text>& texts, const Request& request,
                 const std::vector<Part>& parts, Id* out, std::int64_t* offsets,
                 const std::vector<Workspace<Id>*>& workspaces) {
  struct Result {
    Id *start, *end;
    std::exception_ptr error;
  };
  std::vector<Result> results(parts.size());
  // Of each part its place: as far behind the one before as that could reach.
  Id* place = out;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Part& part = parts[i];
    results[i] = {place, place, nullptr};
    for (std::size_t text = part.first_text; text <= part.last_text; ++text) {
      const std::size_t begin = text == part.first_text ? part.begin : 0;
      const std::size_t end = text == part.last_text ? part.end : texts[text].length;
      place += request.room(encoder, texts[text].part(begin, end));
    }
    place += kSlack;
  }
  const auto run = [&](std::size_t i) noexcept {
    const Part& part = parts[i];
    Result& result = results[i];
    std::size_t text = part.first_text;
    std::size_t begin = 0;
    try {
      for (; text <= part.last_text; ++text) {
        begin = text == part.first_text ? part.begin : 0;
        const std::size_t end = text == part.last_text ? part.end : texts[text].length;
        if (begin == 0) result.end = put(request.before, result.end);
        result.end = encode_part_of(encoder, texts[text].part(begin, end), request.special, result.end, *workspaces[i]);
        if (end < texts[text].length) break;
        result.end = put(request.after, result.end);
        offsets[text + 1] = result.end - result.start;
      }
    } catch (BadText& bad) {
      bad.place += begin;
      bad.text = text;
      result.error = std::make_exception_ptr(bad);
    } catch (...) {
      result.error = std::current_exception();
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(parts.size());
  std::size_t started = 1;
  try {
    for (; started < parts.size(); ++started) threads.emplace_back(run, started);
  } catch (const std::system_error&) {
    // No more threads are to be had: this one does the rest.
  }
  if (!parts.empty()) run(0);
  for (std::size_t i = started; i < parts.size(); ++i) run(i);
  for (std::thread& thread : threads) thread.join();
  offsets[0] = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (results[i].error) std::rethrow_exception(results[i].error);
    const auto shift = static_cast<std::int64_t>(out - results[0].start);
    const std::size_t count = results[i].end - results[i].start;
    if (out != results[i].start) std::memmove(out, results[i].start, count * sizeof(Id));
    for (std::size_t text = parts[i].first_text; text <= parts[i].last_text; ++text) {
      if (text < parts[i].last_text || parts[i].end == texts[text].length) offsets[text + 1] += shift;
    }
    out += count;
  }
  return out;
}

#define JARVIS_TEXT_OF(Id)                                                                                        \
  template Id* encode_text(const Encoder&, const Text&, const Request&, Id*, Workspace<Id>&);                     \
  template Id* encode_texts(const Encoder&, const std::vector<Text>&, const Request&, const std::vector<Part>&, Id*, \
                            std::int64_t*, const std::vector<Workspace<Id>*>&);
JARVIS_TEXT_OF(std::uint16_t)
JARVIS_TEXT_OF(std::uint32_t)
#undef JARVIS_TEXT_OF

}  // namespace jarvis::bpe

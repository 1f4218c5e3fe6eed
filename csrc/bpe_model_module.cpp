// Reads the dict that describes a tokenizer.
#include "bpe_model_module.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

namespace py = pybind11;

namespace jarvis::bpe {

namespace {

using IdArray = py::array_t<std::uint32_t, py::array::c_style | py::array::forcecast>;

std::vector<std::uint32_t> ids_of(const py::dict& description, const char* name) {
  const auto array = description[name].cast<IdArray>();
  return {array.data(), array.data() + array.size()};
}

template <class Value>
Value get(const py::handle& step, const char* name, Value otherwise) {
  const py::dict items = py::reinterpret_borrow<py::dict>(step);
  return items.contains(name) ? items[name].cast<Value>() : otherwise;
}

template <class Value, std::size_t kSize>
Value named(const std::string& name, const std::pair<const char*, Value> (&known)[kSize]) {
  for (const auto& [each, value] : known) {
    if (name == each) return value;
  }
  throw py::value_error("no pre-tokenizer setting named " + name);
}

CutStep cut_step(const py::handle& item) {
  using Kind = CutStep::Kind;
  using Behavior = CutStep::Behavior;
  using Prepend = CutStep::Prepend;
  static const std::pair<const char*, Kind> kKinds[] = {
      {"pattern", Kind::pattern}, {"regex", Kind::regex}, {"literal", Kind::literal}, {"digits", Kind::digits},
      {"punctuation", Kind::punctuation}, {"space", Kind::space}, {"words", Kind::words}, {"before", Kind::before},
      {"prefix", Kind::prefix}, {"metaspace", Kind::metaspace}};
  static const std::pair<const char*, Behavior> kBehaviors[] = {
      {"Removed", Behavior::removed}, {"Isolated", Behavior::isolated}, {"Contiguous", Behavior::contiguous},
      {"MergedWithPrevious", Behavior::merged_with_previous}, {"MergedWithNext", Behavior::merged_with_next}};
  static const std::pair<const char*, Prepend> kPrepends[] = {
      {"always", Prepend::always}, {"first", Prepend::first}, {"never", Prepend::never}};
  CutStep step{};
  step.kind = named(get<std::string>(item, "kind", ""), kKinds);
  step.behavior = named(get<std::string>(item, "behavior", "Isolated"), kBehaviors);
  step.prepend = named(get<std::string>(item, "prepend", "always"), kPrepends);
  step.invert = get(item, "invert", false);
  step.bytes = get(item, "bytes", false);
  step.split = get(item, "split", true);
  step.text = get<std::string>(item, "text", "");
  if (step.kind == Kind::pattern) step.pattern = pattern_named(get<std::string>(item, "name", ""));
  if (step.kind == Kind::regex) {
    const auto dialect = get(item, "tiktoken", false) ? Regex::Dialect::tiktoken : Regex::Dialect::oniguruma;
    step.regex = std::make_shared<const Regex>(step.text, dialect);
  }
  return step;
}

NormalizerStep normalizer_step(const py::handle& item) {
  NormalizerStep step{normalizer_named(get<std::string>(item, "kind", "")), get<std::string>(item, "from", ""),
                      get<std::string>(item, "to", ""), get(item, "left", false), get(item, "right", false)};
  return step;
}

}  // namespace

Model model_of(const py::dict& description) {
  Model model;
  model.tokens = description["tokens"].cast<std::vector<std::string>>();
  model.base = ids_of(description, "base");
  model.merges = ids_of(description, "merges");
  model.ranks = ids_of(description, "ranks");
  model.words = description["words"].cast<std::unordered_map<std::string, std::uint32_t>>();
  for (py::handle item : description["added"]) {
    const auto [content, id, special, lstrip, rstrip, normalized, single_word] =
        item.cast<std::tuple<std::string, std::uint32_t, bool, bool, bool, bool, bool>>();
    model.added.push_back({content, id, special, lstrip, rstrip, normalized, single_word});
  }
  for (py::handle item : description["normalizer"]) model.normalizer.push_back(normalizer_step(item));
  for (py::handle item : description["cuts"]) model.cuts.push_back(cut_step(item));
  if (const py::object characters = description["characters"]; !characters.is_none()) {
    model.by_character = true;
    for (const auto& [code, id] : characters.cast<py::dict>()) {
      model.characters.emplace_back(code.cast<std::uint32_t>(), id.cast<std::uint32_t>());
    }
    if (!description["unknown"].is_none()) model.unknown = description["unknown"].cast<std::uint32_t>();
    model.fuse_unknown = description["fuse_unknown"].cast<bool>();
  }
  return model;
}

std::string refusal(const std::string& pattern, bool tiktoken) {
  try {
    Regex{pattern, tiktoken ? Regex::Dialect::tiktoken : Regex::Dialect::oniguruma};
  } catch (const Regex::Unsupported& error) {
    return error.what();
  }
  return "";
}

}  // namespace jarvis::bpe

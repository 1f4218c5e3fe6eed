// jarvis_nano._bpe: the encoder for Python, by pybind11. Strings are read where Python keeps them, ids are written into
// the memory of the numpy array that is returned, and the interpreter lock is free in between.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdlib>
#include <mutex>

#include "bpe_model_module.h"

namespace py = pybind11;

namespace jarvis::bpe {
namespace {

// A str or bytes as Python stores it. Valid while the object lives.
struct Text {
  const void* data;
  std::size_t length;  // units of `width` bytes
  int width;           // 0: bytes from the user, to be checked; 1, 2, 4: a str; 5: a str that is ASCII
  std::size_t most_bytes() const { return width == 5 || width == 0 ? length : length * (width == 1 ? 2 : width == 2 ? 3 : 4); }
};

Text text_of(py::handle object) {
  PyObject* raw = object.ptr();
  if (PyUnicode_Check(raw)) {
    const auto length = static_cast<std::size_t>(PyUnicode_GET_LENGTH(raw));
    return {PyUnicode_DATA(raw), length, PyUnicode_IS_ASCII(raw) ? 5 : static_cast<int>(PyUnicode_KIND(raw))};
  }
  if (PyBytes_Check(raw)) {
    return {PyBytes_AS_STRING(raw), static_cast<std::size_t>(PyBytes_GET_SIZE(raw)), 0};
  }
  throw py::type_error(std::string("a text is a str or bytes, not ") + Py_TYPE(raw)->tp_name);
}

// The text as valid UTF-8: in place where it can be read so, else written into the workspace. ValueError if it cannot.
template <class Id>
std::string_view utf8_of(const Text& text, Workspace<Id>& workspace) {
  const auto* bytes = static_cast<const Byte*>(text.data);
  if (text.width == 0) {
    if (const auto offset = first_invalid(bytes, text.length)) {
      char code[3];
      std::snprintf(code, sizeof code, "%02x", bytes[*offset]);
      throw py::value_error("not UTF-8: byte 0x" + std::string(code) + " at offset " + std::to_string(*offset));
    }
  }
  if (text.width == 0 || text.width == 5) return {reinterpret_cast<const char*>(bytes), text.length};
  Byte* out = workspace.at_least(text.most_bytes() + kUtf8Slack);
  Written w{};
  if (text.width == 1) w = to_utf8(bytes, text.length, out);
  if (text.width == 2) w = to_utf8(static_cast<const std::uint16_t*>(text.data), text.length, out);
  if (text.width == 4) w = to_utf8(static_cast<const std::uint32_t*>(text.data), text.length, out);
  if (w.units < text.length) throw py::value_error("lone surrogate at character " + std::to_string(w.units) + ": not UTF-8");
  Byte* end = w.end;
  return {reinterpret_cast<const char*>(out), static_cast<std::size_t>(end - out)};
}

// Memory for ids: as much as the text could need, given back to the system down to what was used. Pages never written
// cost nothing.
template <class Id>
class Ids {
 public:
  explicit Ids(std::size_t room) : start_(static_cast<Id*>(std::malloc((room + kSlack) * sizeof(Id)))) {
    if (!start_) throw std::bad_alloc();
  }
  Ids(const Ids&) = delete;
  ~Ids() { std::free(start_); }
  Id* start() { return start_; }
  py::array_t<Id> take(std::size_t count) {
    if (void* smaller = std::realloc(start_, std::max<std::size_t>(count, 1) * sizeof(Id))) {
      start_ = static_cast<Id*>(smaller);
    }
    py::capsule owner(start_, [](void* memory) { std::free(memory); });
    return py::array_t<Id>(static_cast<py::ssize_t>(count), std::exchange(start_, nullptr), owner);
  }

 private:
  Id* start_;
};

// Scratch and word caches for one id type. Two calls at once never share one; up to kKept wait for the next caller.
template <class Id>
class Workspaces {
 public:
  class Lease {
   public:
    explicit Lease(Workspaces& home) : home_(home), workspace_(home.take()) {}
    Lease(const Lease&) = delete;
    ~Lease() { home_.put(std::move(workspace_)); }
    Workspace<Id>& operator*() { return *workspace_; }

   private:
    Workspaces& home_;
    std::unique_ptr<Workspace<Id>> workspace_;
  };

 private:
  static constexpr std::size_t kKept = 8;
  std::unique_ptr<Workspace<Id>> take() {
    const std::lock_guard guard(lock_);
    if (idle_.empty()) return std::make_unique<Workspace<Id>>();
    auto workspace = std::move(idle_.back());
    idle_.pop_back();
    return workspace;
  }
  void put(std::unique_ptr<Workspace<Id>> workspace) {
    workspace->shrink();
    const std::lock_guard guard(lock_);
    if (idle_.size() < kKept) idle_.push_back(std::move(workspace));
  }
  std::mutex lock_;  // taken and freed with the interpreter lock held, so that no fork falls between
  std::vector<std::unique_ptr<Workspace<Id>>> idle_;
};

template <class Id>
py::object encode_as(const Encoder& encoder, Workspaces<Id>& workspaces, py::handle object, bool special) {
  const Text text = text_of(object);
  typename Workspaces<Id>::Lease lease(workspaces);
  Ids<Id> ids(encoder.room(text.most_bytes()));
  Id* end;
  {
    const py::gil_scoped_release unlocked;
    const std::string_view utf8 = utf8_of(text, *lease);
    end = encoder.encode(reinterpret_cast<const Byte*>(utf8.data()), utf8.size(), special, ids.start(), *lease);
  }
  return ids.take(end - ids.start());
}

template <class Id>
py::object encode_batch_as(const Encoder& encoder, Workspaces<Id>& workspaces, const py::sequence& sequence,
                           bool special) {
  std::vector<py::object> held;  // the sequence may change while the lock is free; what it held does not
  std::vector<Text> texts;
  std::size_t room = 0;
  for (py::handle item : sequence) {
    held.push_back(py::reinterpret_borrow<py::object>(item));
    texts.push_back(text_of(item));
    room += encoder.room(texts.back().most_bytes());
  }
  py::array_t<std::int64_t> offsets(static_cast<py::ssize_t>(texts.size() + 1));
  std::int64_t* offset = offsets.mutable_data();
  typename Workspaces<Id>::Lease lease(workspaces);
  Ids<Id> ids(room);
  Id* end = ids.start();
  *offset++ = 0;
  {
    const py::gil_scoped_release unlocked;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      try {
        const std::string_view utf8 = utf8_of(texts[i], *lease);
        end = encoder.encode(reinterpret_cast<const Byte*>(utf8.data()), utf8.size(), special, end, *lease);
      } catch (const std::runtime_error& error) {
        throw py::value_error("text " + std::to_string(i) + ": " + error.what());
      } catch (const std::invalid_argument& error) {
        throw py::value_error("text " + std::to_string(i) + ": " + error.what());
      }
      *offset++ = end - ids.start();
    }
  }
  return py::make_tuple(ids.take(end - ids.start()), offsets);
}

// The encoder with its workspaces, for the one id type that its size asks for.
class PyEncoder {
 public:
  explicit PyEncoder(Model model) : encoder_(std::move(model)), wide_(encoder_.size() > 65'536) {}
  py::object encode(py::handle text, bool special) {
    return wide_ ? encode_as(encoder_, wide_workspaces_, text, special)
                 : encode_as(encoder_, narrow_workspaces_, text, special);
  }
  py::object encode_batch(const py::sequence& texts, bool special) {
    return wide_ ? encode_batch_as(encoder_, wide_workspaces_, texts, special)
                 : encode_batch_as(encoder_, narrow_workspaces_, texts, special);
  }
  py::bytes decode_bytes(const py::array_t<std::uint32_t, py::array::c_style>& ids, bool special) const {
    const std::uint32_t* start = ids.data();
    const auto count = static_cast<std::size_t>(ids.size());
    for (std::size_t i = 0; i < count; ++i) {
      if (start[i] >= encoder_.size()) throw py::value_error("id " + std::to_string(start[i]) + " is out of range");
    }
    const std::size_t size = encoder_.decoded_size(start, count, special);
    auto bytes = py::reinterpret_steal<py::bytes>(PyBytes_FromStringAndSize(nullptr, static_cast<py::ssize_t>(size)));
    if (!bytes) throw py::error_already_set();
    encoder_.decode(start, count, special, PyBytes_AS_STRING(bytes.ptr()));
    return bytes;
  }

 private:
  const Encoder encoder_;
  const bool wide_;
  Workspaces<std::uint16_t> narrow_workspaces_;
  Workspaces<std::uint32_t> wide_workspaces_;
};

std::unique_ptr<PyEncoder> make_encoder(const py::dict& description) {
  return std::make_unique<PyEncoder>(model_of(description));
}

py::list split(const std::string& scanner, const std::string& text) {
  const Pattern pattern = pattern_named(scanner);
  const auto* at = reinterpret_cast<const Byte*>(text.data());
  const auto* end = at + text.size();
  if (const auto offset = first_invalid(at, text.size())) {
    throw py::value_error("not UTF-8 at offset " + std::to_string(*offset));
  }
  py::list words;
  while (at < end) {
    const Byte* after = next_word(pattern, at, end);
    words.append(py::str(reinterpret_cast<const char*>(at), static_cast<std::size_t>(after - at)));
    at = after;
  }
  return words;
}

}  // namespace
}  // namespace jarvis::bpe

PYBIND11_MODULE(_bpe, module) {
  using namespace jarvis::bpe;
  module.doc() = "Byte-level byte-pair encoding. Use jarvis_nano.kernels.BpeEncoder, which loads a tokenizer.json.";
  py::class_<PyEncoder>(module, "Encoder")
      .def(py::init(&make_encoder), py::arg("description"))
      .def("encode", &PyEncoder::encode, py::arg("text"), py::arg("special") = false)
      .def("encode_batch", &PyEncoder::encode_batch, py::arg("texts"), py::arg("special") = false)
      .def("decode_bytes", &PyEncoder::decode_bytes, py::arg("ids"), py::arg("special") = true);
  module.def("refusal", &refusal, py::arg("pattern"), "Why a pattern cannot be run by the matcher; empty if it can.");
  module.def("split", &split, py::arg("scanner"), py::arg("text"), "The words that a scanner cuts a text into.");
}

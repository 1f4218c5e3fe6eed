// jarvis_nano._bpe: the encoder for Python. Strings are read where Python keeps them, ids are written into the memory of
// the numpy array that is returned, and the interpreter lock is free in between. The methods are CPython's own kind: a
// line of text takes half a microsecond, of which a wrapper would take as much again.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>

#include "bpe_memory.h"
#include "bpe_model_module.h"
#include "bpe_python_text.h"
#include "cpu_choice.h"

namespace jarvis::bpe {

void bind_trainer(py::module_& module);  // bpe_train_module.cpp

namespace {

constexpr std::size_t kShortText = 4096;  // units up to which the interpreter lock stays: to free it takes as long

template <class Id>
class Ids {
 public:
  explicit Ids(std::size_t room) : memory_(std::make_unique<Memory>((room + kSlack) * sizeof(Id))) {}
  Id* start() const { return static_cast<Id*>(memory_->start()); }
  // The first `count` as an array, which owns the memory from then on.
  py::array_t<Id> take(std::size_t count) {
    memory_->shrink(count * sizeof(Id));
    Id* const ids = start();
    const py::capsule owner(memory_.release(), [](void* memory) { delete static_cast<Memory*>(memory); });
    return py::array_t<Id>(static_cast<py::ssize_t>(count), ids, owner);
  }

 private:
  std::unique_ptr<Memory> memory_;
};

template <class Id>
PyObject* new_array(const Id* ids, std::size_t count) {
  auto& api = py::detail::npy_api::get();
  const auto length = static_cast<py::ssize_t>(count);
  constexpr int kType = sizeof(Id) == 2 ? py::detail::npy_api::NPY_UINT16_ : py::detail::npy_api::NPY_UINT32_;
  PyObject* array = api.PyArray_NewFromDescr_(api.PyArray_Type_, api.PyArray_DescrFromType_(kType), 1, &length, nullptr,
                                              nullptr, 0, nullptr);
  if (!array) throw py::error_already_set();
  std::memcpy(py::detail::array_proxy(array)->data, ids, count * sizeof(Id));
  return array;
}

// How a method was called: (text or texts, special, errors, template), by place or by name.
struct Arguments {
  PyObject* object = nullptr;
  bool special = false, replace = false, with_template = false;

  Arguments(PyObject* const* args, Py_ssize_t nargs, PyObject* names, const char* first) {
    if (nargs > 4) throw py::type_error("expected at most 4 arguments, got " + std::to_string(nargs));
    for (Py_ssize_t i = 0; i < nargs; ++i) set(static_cast<int>(i), args[i]);
    const Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
    for (Py_ssize_t i = 0; i < named; ++i) {
      const char* name = PyUnicode_AsUTF8(PyTuple_GET_ITEM(names, i));
      if (!name) throw py::error_already_set();
      const char* const known[] = {first, "special", "errors", "template"};
      const auto* found = std::find_if(std::begin(known), std::end(known),
                                       [&](const char* each) { return std::string_view(each) == name; });
      if (found == std::end(known)) throw py::type_error(std::string("no argument named ") + name);
      set(static_cast<int>(found - std::begin(known)), args[nargs + i]);
    }
    if (!object) throw py::type_error(std::string("missing argument: ") + first);
  }

 private:
  unsigned given_ = 0;
  void set(int place, PyObject* value) {
    if (given_ >> place & 1) throw py::type_error("an argument is given twice");
    given_ |= 1u << place;
    if (place == 0) object = value;
    if (place == 1) special = truth(value);
    if (place == 2) replace = replaces(value);
    if (place == 3) with_template = truth(value);
  }
  static bool truth(PyObject* value) {
    if (value == Py_False) return false;
    if (value == Py_True) return true;
    const int truth = PyObject_IsTrue(value);
    if (truth < 0) throw py::error_already_set();
    return truth;
  }
  static bool replaces(PyObject* value) {
    const char* name = PyUnicode_Check(value) ? PyUnicode_AsUTF8(value) : "";
    if (name && std::string_view(name) == "strict") return false;
    if (name && std::string_view(name) == "replace") return true;
    PyErr_Clear();
    throw py::value_error("errors is " + std::string(py::repr(value)) + "; expected 'strict' or 'replace'");
  }
};

// The encoder with its workspaces, for the one id type that its size asks for. Only touched with the interpreter lock held,
// but for what a workspace's borrower does with it.
class PyEncoder {
 public:
  explicit PyEncoder(Model model) : encoder_(std::move(model)) {}
  virtual ~PyEncoder() {
    for (PyObject* number : numbers_) Py_XDECREF(number);
  }
  virtual PyObject* encode(const Arguments& arguments) = 0;
  virtual PyObject* encode_list(const Arguments& arguments) = 0;
  virtual PyObject* count(const Arguments& arguments) = 0;
  virtual PyObject* encode_batch(const Arguments& arguments) = 0;
  virtual PyObject* encode_batch_lists(const Arguments& arguments) = 0;
  const Encoder& encoder() const { return encoder_; }

  std::size_t threads = 1;
  std::vector<std::uint32_t> before, after;

 protected:
  // Ready-made Python integers: a list is then one reference more and one store an id.
  PyObject** numbers() {
    while (numbers_.size() < encoder_.size()) {
      PyObject* const number = PyLong_FromSize_t(numbers_.size());
      if (!number) throw py::error_already_set();
      numbers_.push_back(number);
    }
    return numbers_.data();
  }
  template <class Id>
  py::object list_of(const Id* ids, std::size_t count) {
    PyObject** const known = numbers();
    auto list = py::reinterpret_steal<py::object>(PyList_New(static_cast<Py_ssize_t>(count)));
    if (!list) throw py::error_already_set();
    for (std::size_t i = 0; i < count; ++i) {
      PyObject* const number = known[ids[i]];
      Py_INCREF(number);
      PyList_SET_ITEM(list.ptr(), static_cast<Py_ssize_t>(i), number);
    }
    return list;
  }
  const Encoder encoder_;

 private:
  std::vector<PyObject*> numbers_;
};

template <class Id>
class TypedEncoder final : public PyEncoder {
 public:
  using PyEncoder::PyEncoder;

  PyObject* encode(const Arguments& arguments) override {
    return with_ids(
        arguments, [](const Id* ids, std::size_t count) { return new_array(ids, count); },
        [](Ids<Id>& ids, std::size_t count) { return ids.take(count).release().ptr(); });
  }
  PyObject* encode_list(const Arguments& arguments) override {
    return with_ids(
        arguments, [this](const Id* ids, std::size_t count) { return this->list_of(ids, count).release().ptr(); },
        [this](Ids<Id>& ids, std::size_t count) { return this->list_of(ids.start(), count).release().ptr(); });
  }
  PyObject* count(const Arguments& arguments) override {
    return with_ids(
        arguments, [](const Id*, std::size_t count) { return PyLong_FromSize_t(count); },
        [](Ids<Id>&, std::size_t count) { return PyLong_FromSize_t(count); });
  }
  PyObject* encode_batch(const Arguments& arguments) override {
    py::array_t<std::int64_t> offsets;
    auto ids = batch(arguments, offsets);
    const std::size_t count = offsets.data()[offsets.size() - 1];
    return py::make_tuple(ids->take(count), offsets).release().ptr();
  }
  PyObject* encode_batch_lists(const Arguments& arguments) override {
    py::array_t<std::int64_t> offsets;
    const auto ids = batch(arguments, offsets);
    const auto texts = static_cast<std::size_t>(offsets.size() - 1);
    const std::int64_t* offset = offsets.data();
    auto lists = py::reinterpret_steal<py::object>(PyList_New(static_cast<Py_ssize_t>(texts)));
    if (!lists) throw py::error_already_set();
    for (std::size_t i = 0; i < texts; ++i) {
      py::object list = this->list_of(ids->start() + offset[i], static_cast<std::size_t>(offset[i + 1] - offset[i]));
      // Hidden from the collector until all are there: it would look through the finished ones again and again.
      PyObject_GC_UnTrack(list.ptr());
      PyList_SET_ITEM(lists.ptr(), static_cast<Py_ssize_t>(i), list.release().ptr());
    }
    for (std::size_t i = 0; i < texts; ++i) PyObject_GC_Track(PyList_GET_ITEM(lists.ptr(), static_cast<Py_ssize_t>(i)));
    return lists.release().ptr();
  }

 private:
  using Space = Workspace<Id>;

  Request request_of(const Arguments& arguments) const {
    return {arguments.special, arguments.with_template ? &before : nullptr, arguments.with_template ? &after : nullptr};
  }

  // The ids of one text, handed to `small` where they lie in a workspace, or to `large`.
  template <class Small, class Large>
  PyObject* with_ids(const Arguments& arguments, const Small& small, const Large& large) {
    try {
      return with_ids_of(arguments.object, request_of(arguments), small, large);
    } catch (const BadText& bad) {
      if (!arguments.replace) throw py::value_error(described(bad));
      const py::object whole = HeldText(arguments.object).replaced();
      return with_ids_of(whole.ptr(), request_of(arguments), small, large);
    }
  }
  template <class Small, class Large>
  PyObject* with_ids_of(PyObject* object, const Request& request, const Small& small, const Large& large) {
    const HeldText held(object);
    const Text& text = held.text();
    const std::size_t room = request.room(encoder_, text);
    if (text.length <= kShortText) {
      const Borrowed space(*this, 1);
      std::vector<Id>& ids = space[0]->ids;
      if (ids.size() < room + kSlack) ids.resize(room + kSlack);
      const Id* end = encode_text(encoder_, text, request, ids.data(), *space[0]);
      return small(ids.data(), static_cast<std::size_t>(end - ids.data()));
    }
    std::int64_t offsets[2];
    const std::vector<Text> texts{text};
    const auto parts = parts_of(encoder_, texts, request, threads);
    const Borrowed spaces(*this, parts.size());
    Ids<Id> ids(room_of(texts, request, parts));
    Id* end;
    {
      const py::gil_scoped_release unlocked;
      end = encode_texts(encoder_, texts, request, parts, ids.start(), offsets, spaces.all());
    }
    return large(ids, static_cast<std::size_t>(end - ids.start()));
  }

  std::size_t room_of(const std::vector<Text>& texts, const Request& request, const std::vector<Part>& parts) const {
    std::size_t room = 0;
    for (const Text& text : texts) room += request.room(encoder_, text);
    return room + parts.size() * (kSlack + encoder_.room(0) + before.size() + after.size());
  }

  std::unique_ptr<Ids<Id>> batch(const Arguments& arguments, py::array_t<std::int64_t>& offsets) {
    const Request request = request_of(arguments);
    const auto sequence = py::reinterpret_steal<py::object>(PySequence_Fast(arguments.object, "texts is no sequence of texts"));
    if (!sequence) throw py::error_already_set();
    const auto size = static_cast<std::size_t>(PySequence_Fast_GET_SIZE(sequence.ptr()));
    std::vector<HeldText> held;  // the sequence may change while the lock is free; what it held does not
    std::vector<Text> texts;
    held.reserve(size);
    texts.reserve(size);
    for (std::size_t i = 0; i < size; ++i) {
      held.emplace_back(PySequence_Fast_GET_ITEM(sequence.ptr(), static_cast<Py_ssize_t>(i)));
      texts.push_back(held.back().text());
    }
    offsets = py::array_t<std::int64_t>(static_cast<py::ssize_t>(size + 1));
    for (;;) {
      try {
        return encoded(texts, request, offsets.mutable_data());
      } catch (const BadText& bad) {
        if (!arguments.replace) throw py::value_error("text " + std::to_string(bad.text) + ": " + described(bad));
        for (std::size_t i = bad.text; i < size; ++i) {
          if (is_valid(texts[i])) continue;
          const py::object whole = held[i].replaced();
          held[i] = HeldText(whole.ptr());
          texts[i] = held[i].text();
        }
      }
    }
  }

  std::unique_ptr<Ids<Id>> encoded(const std::vector<Text>& texts, const Request& request, std::int64_t* offsets) {
    const auto parts = parts_of(encoder_, texts, request, threads);
    const Borrowed spaces(*this, parts.size());
    auto ids = std::make_unique<Ids<Id>>(room_of(texts, request, parts));
    const py::gil_scoped_release unlocked;
    encode_texts(encoder_, texts, request, parts, ids->start(), offsets, spaces.all());
    return ids;
  }

  // Scratch and word caches: two calls at once never share one, and a few wait for the next call.
  class Borrowed {
   public:
    Borrowed(TypedEncoder& home, std::size_t count) : home_(home) {
      for (std::size_t i = 0; i < count; ++i) {
        if (home.idle_.empty()) {
          owned_.push_back(std::make_unique<Space>());
        } else {
          owned_.push_back(std::move(home.idle_.back()));
          home.idle_.pop_back();
        }
        spaces_.push_back(owned_.back().get());
      }
    }
    Borrowed(const Borrowed&) = delete;
    ~Borrowed() {
      const std::size_t most = std::max<std::size_t>(2, home_.threads);
      for (std::size_t i = owned_.size(); i-- > 0;) {  // so that the first part meets the same cache again
        owned_[i]->shrink();
        if (home_.idle_.size() < most) home_.idle_.push_back(std::move(owned_[i]));
      }
    }
    Space* operator[](std::size_t i) const { return spaces_[i]; }
    const std::vector<Space*>& all() const { return spaces_; }

   private:
    TypedEncoder& home_;
    std::vector<std::unique_ptr<Space>> owned_;
    std::vector<Space*> spaces_;
  };
  std::vector<std::unique_ptr<Space>> idle_;
};

// An encoder as a Python object.
struct EncoderObject {
  PyObject_HEAD
  PyEncoder* encoder;
  PyObject* source;  // whatever Python needs to make the same again in another process
};

PyEncoder& encoder_of(PyObject* self) { return *reinterpret_cast<EncoderObject*>(self)->encoder; }

// The method that a member function is to Python: exceptions become Python's.
template <class Body>
PyObject* guarded(const Body& body) {
  try {
    return body();
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const py::builtin_exception& error) {
    error.set_error();
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::invalid_argument& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

using Method = PyObject* (PyEncoder::*)(const Arguments&);

template <Method kMethod>
PyObject* on_text(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* names) {
  return guarded([&] { return (encoder_of(self).*kMethod)(Arguments(args, nargs, names, "text")); });
}
template <Method kMethod>
PyObject* on_texts(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* names) {
  return guarded([&] { return (encoder_of(self).*kMethod)(Arguments(args, nargs, names, "texts")); });
}

// The bytes of ids, an array of a 2-, 4- or 8-byte integer type.
template <class Id>
py::bytes bytes_of(const Encoder& encoder, const py::array& array, bool special) {
  const auto* ids = static_cast<const Id*>(array.data());
  const auto count = static_cast<std::size_t>(array.size());
  std::size_t size = 0;
  const std::size_t wrong = encoder.decoded_size(ids, count, special, size);
  if (wrong < count) {
    throw py::value_error("id " + std::to_string(ids[wrong]) + " at position " + std::to_string(wrong) +
                          "; the tokenizer has ids 0 to " + std::to_string(encoder.size() - 1));
  }
  auto bytes = py::reinterpret_steal<py::bytes>(PyBytes_FromStringAndSize(nullptr, static_cast<py::ssize_t>(size)));
  if (!bytes) throw py::error_already_set();
  char* const out = PyBytes_AS_STRING(bytes.ptr());
  bool whole;
  {
    const py::gil_scoped_release unlocked;
    whole = encoder.decode(ids, count, special, out, out + size);
  }
  if (!whole) throw std::runtime_error("the ids changed while they were decoded");
  return bytes;
}

PyObject* decode_bytes(PyObject* self, PyObject* args) {
  return guarded([&]() -> PyObject* {
    PyObject* object;
    int special = 1;
    if (!PyArg_ParseTuple(args, "O|p", &object, &special)) return nullptr;
    auto array = py::array::ensure(object, py::array::c_style);
    if (!array) throw py::error_already_set();
    if (array.size() == 0) return PyBytes_FromStringAndSize(nullptr, 0);
    const Encoder& encoder = encoder_of(self).encoder();
    if (array.ndim() == 1 && array.dtype().kind() == 'u') {
      if (array.itemsize() == 2) return bytes_of<std::uint16_t>(encoder, array, special).release().ptr();
      if (array.itemsize() == 4) return bytes_of<std::uint32_t>(encoder, array, special).release().ptr();
      if (array.itemsize() == 8) return bytes_of<std::uint64_t>(encoder, array, special).release().ptr();
    }
    if (array.ndim() == 1 && array.dtype().kind() == 'i') {
      if (array.itemsize() == 4) return bytes_of<std::int32_t>(encoder, array, special).release().ptr();
      if (array.itemsize() == 8) return bytes_of<std::int64_t>(encoder, array, special).release().ptr();
    }
    throw py::value_error("ids of " + std::to_string(array.ndim()) + " dimensions and type " +
                          std::string(py::str(array.dtype())) + "; expected one row of integers");
  });
}

PyObject* get_threads(PyObject* self, void*) { return PyLong_FromSize_t(encoder_of(self).threads); }

int set_threads(PyObject* self, PyObject* value, void*) {
  const Py_ssize_t threads = value ? PyNumber_AsSsize_t(value, PyExc_OverflowError) : 0;
  if (threads < 1) {
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "threads: expected 1 or more");
    return -1;
  }
  encoder_of(self).threads = static_cast<std::size_t>(threads);
  return 0;
}

PyObject* get_template(PyObject* self, void*) {
  return guarded([&] { return py::make_tuple(encoder_of(self).before, encoder_of(self).after).release().ptr(); });
}

int set_template(PyObject* self, PyObject* value, void*) {
  PyObject* const done = guarded([&]() -> PyObject* {
    if (!value) throw py::type_error("the template cannot be deleted");
    auto [before, after] =
        py::handle(value).cast<std::pair<std::vector<std::uint32_t>, std::vector<std::uint32_t>>>();
    PyEncoder& encoder = encoder_of(self);
    for (const auto* ids : {&before, &after}) {
      for (const std::uint32_t id : *ids) {
        if (id >= encoder.encoder().size()) throw py::value_error("template: no id " + std::to_string(id));
      }
    }
    encoder.before = std::move(before);
    encoder.after = std::move(after);
    return Py_None;
  });
  return done ? 0 : -1;
}

PyObject* get_source(PyObject* self, void*) {
  PyObject* const source = reinterpret_cast<EncoderObject*>(self)->source;
  return Py_NewRef(source ? source : Py_None);
}

int set_source(PyObject* self, PyObject* value, void*) {
  Py_XINCREF(value);
  Py_XSETREF(reinterpret_cast<EncoderObject*>(self)->source, value);
  return 0;
}

void destroy(PyObject* self) {
  delete reinterpret_cast<EncoderObject*>(self)->encoder;
  Py_XDECREF(reinterpret_cast<EncoderObject*>(self)->source);
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

template <class Function>
PyCFunction as_method(Function function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyTypeObject* make_type() {
  constexpr int kFast = METH_FASTCALL | METH_KEYWORDS;
  static PyMethodDef methods[] = {
      {"encode", as_method(on_text<&PyEncoder::encode>), kFast,
       "encode(text, special=False, errors='strict', template=False) -> ids (n,), uint16 or uint32"},
      {"encode_list", as_method(on_text<&PyEncoder::encode_list>), kFast, "The same as a list of int."},
      {"count", as_method(on_text<&PyEncoder::count>), kFast, "How many ids a text has."},
      {"encode_batch", as_method(on_texts<&PyEncoder::encode_batch>), kFast,
       "encode_batch(texts, special=False, errors='strict', template=False) -> (ids of all texts, int64 offsets)"},
      {"encode_batch_lists", as_method(on_texts<&PyEncoder::encode_batch_lists>), kFast, "The same as a list of lists."},
      {"decode_bytes", decode_bytes, METH_VARARGS, "decode_bytes(ids, special=True) -> bytes"},
      {nullptr, nullptr, 0, nullptr}};
  static PyGetSetDef attributes[] = {
      {"threads", get_threads, set_threads, "How many threads a long text or a batch may take.", nullptr},
      {"source", get_source, set_source, "What the encoder was made from: kept for pickling, not used.", nullptr},
      {"template", get_template, set_template, "The ids before and after each text, for template=True.", nullptr},
      {nullptr, nullptr, nullptr, nullptr, nullptr}};
  static PyType_Slot slots[] = {{Py_tp_methods, methods},
                                {Py_tp_getset, attributes},
                                {Py_tp_dealloc, reinterpret_cast<void*>(destroy)},
                                {0, nullptr}};
  static PyType_Spec spec = {"jarvis_nano._bpe.Core", sizeof(EncoderObject), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
  PyObject* type = PyType_FromSpec(&spec);
  if (!type) throw py::error_already_set();
  return reinterpret_cast<PyTypeObject*>(type);
}

py::object make_encoder(const py::dict& description) {
  static PyTypeObject* const type = make_type();
  Model model = model_of(description);
  std::unique_ptr<PyEncoder> encoder;
  if (model.tokens.size() > 65'536) {
    encoder = std::make_unique<TypedEncoder<std::uint32_t>>(std::move(model));
  } else {
    encoder = std::make_unique<TypedEncoder<std::uint16_t>>(std::move(model));
  }
  auto self = py::reinterpret_steal<py::object>(type->tp_alloc(type, 0));
  if (!self) throw py::error_already_set();
  reinterpret_cast<EncoderObject*>(self.ptr())->encoder = encoder.release();
  return self;
}

// The words of a text: by character, or as the encoder cuts them on this processor.
py::list split(const std::string& scanner, const std::string& text, bool by_character) {
  const Pattern pattern = pattern_named(scanner);
  if (const auto offset = first_invalid(reinterpret_cast<const Byte*>(text.data()), text.size())) {
    throw py::value_error("not UTF-8 at offset " + std::to_string(*offset));
  }
  std::string padded = text;
  padded.resize(text.size() + kPadding, '\xC3');  // what lies behind the text must not matter
  const auto* bytes = reinterpret_cast<const Byte*>(padded.data());
  std::vector<std::uint32_t> starts;
  if (by_character) {
    for (std::size_t at = 0; at < text.size();) {
      starts.push_back(static_cast<std::uint32_t>(at));
      at = next_word(pattern, bytes + at, bytes + text.size()) - bytes;
    }
    starts.push_back(static_cast<std::uint32_t>(text.size()));
  } else {
    starts.resize(text.size() + 72);
    starts.resize(word_starts(pattern)(bytes, text.size(), starts.data()) + 1);
  }
  py::list words;
  for (std::size_t i = 0; i + 1 < starts.size(); ++i) {
    words.append(py::str(text.data() + starts[i], starts[i + 1] - starts[i]));
  }
  return words;
}

std::string instructions() {
  return use_avx512() ? "avx512" : use_avx2() ? "avx2" : "portable";
}

}  // namespace
}  // namespace jarvis::bpe

PYBIND11_MODULE(_bpe, module) {
  using namespace jarvis::bpe;
  module.doc() = "Byte-pair encoding. Use jarvis_nano.kernels.BpeEncoder, which loads a tokenizer.json.";
  module.def("Encoder", &make_encoder, py::arg("description"));
  module.def("refusal", &refusal, py::arg("pattern"), py::arg("tiktoken") = false,
             "Why a pattern cannot be run by the matcher; empty if it can.");
  module.def("split", &split, py::arg("scanner"), py::arg("text"), py::arg("by_character") = true,
             "The words that a scanner cuts a text into: by character, or as the encoder does on this processor.");
  module.def("instructions", &instructions, "portable, avx2 or avx512: what the scanners run on here.");
  bind_trainer(module);
}

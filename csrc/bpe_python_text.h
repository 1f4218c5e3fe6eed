// Texts as Python gives them, for the modules that bind the encoder and the trainer.
#pragma once

#include <pybind11/pybind11.h>

#include <optional>
#include <string>
#include <utility>

#include "bpe_text.h"

namespace jarvis::bpe {

namespace py = pybind11;

// A str where Python stores it, or bytes; nothing for another object. Valid while the object lives.
std::optional<Text> text_of(PyObject* object);

// What is wrong with a text, and where.
std::string described(const BadText& bad);

// What Python's codecs make of a text with `replace`, as a str or as bytes of UTF-8.
py::object replaced(py::handle object);

// A text with what keeps it in memory.
class HeldText {
 public:
  explicit HeldText(PyObject* object) {
    if (const auto text = text_of(object)) {
      text_ = *text;
    } else if (PyObject_CheckBuffer(object)) {
      if (PyObject_GetBuffer(object, &buffer_, PyBUF_SIMPLE) != 0) throw py::error_already_set();
      text_ = {buffer_.buf, static_cast<std::size_t>(buffer_.len), Text::Kind::utf8};
      return;
    } else {
      throw py::type_error(std::string("a text is a str, bytes or a buffer of bytes, not ") + Py_TYPE(object)->tp_name);
    }
    Py_INCREF(object);
    object_ = object;
  }
  HeldText(HeldText&& other) noexcept : text_(other.text_), object_(other.object_), buffer_(other.buffer_) {
    other.object_ = nullptr;
    other.buffer_.obj = nullptr;
  }
  HeldText& operator=(HeldText&& other) noexcept {
    std::swap(text_, other.text_);
    std::swap(object_, other.object_);
    std::swap(buffer_, other.buffer_);
    return *this;
  }
  ~HeldText() {
    Py_XDECREF(object_);
    if (buffer_.obj) PyBuffer_Release(&buffer_);
  }
  const Text& text() const { return text_; }

 private:
  Text text_;
  PyObject* object_ = nullptr;
  Py_buffer buffer_{};
};

}  // namespace jarvis::bpe

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

// A text with what keeps it in memory.
class HeldText {
 public:
  explicit HeldText(PyObject* object) {
    if (const auto text = text_of(object)) {
      text_ = *text;
      Py_INCREF(object);
      object_ = object;
      return;
    }
    const std::string name = Py_TYPE(object)->tp_name;
    if (!PyObject_CheckBuffer(object)) throw py::type_error("a text is a str, bytes or a buffer of bytes, not " + name);
    if (PyObject_GetBuffer(object, &buffer_, PyBUF_CONTIG_RO | PyBUF_FORMAT) != 0) throw py::error_already_set();
    if (buffer_.itemsize != 1) {
      const std::string size = std::to_string(buffer_.itemsize);
      PyBuffer_Release(&buffer_);
      throw py::type_error("a text is a str, bytes or a buffer of bytes, not a " + name + " of " + size + "-byte items");
    }
    if (!buffer_.readonly) {  // it could be written to while the interpreter lock is free
      object_ = PyBytes_FromStringAndSize(static_cast<const char*>(buffer_.buf), buffer_.len);
      PyBuffer_Release(&buffer_);
      if (!object_) throw py::error_already_set();
      text_ = *text_of(object_);
      return;
    }
    text_ = {buffer_.buf, static_cast<std::size_t>(buffer_.len), Text::Kind::utf8};
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
  // What Python's codecs make of it with `replace`, as a str or as bytes of UTF-8.
  py::object replaced() const;

 private:
  Text text_;
  PyObject* object_ = nullptr;
  Py_buffer buffer_{};
};

}  // namespace jarvis::bpe

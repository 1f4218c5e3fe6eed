// Texts as Python gives them.
#include "bpe_python_text.h"

#include <cstdio>

namespace jarvis::bpe {

std::optional<Text> text_of(PyObject* object) {
  using Kind = Text::Kind;
  if (PyUnicode_Check(object)) {
    const int width = PyUnicode_KIND(object);
    const Kind kind = PyUnicode_IS_ASCII(object) ? Kind::ascii : width == 1 ? Kind::one : width == 2 ? Kind::two : Kind::four;
    return Text{PyUnicode_DATA(object), static_cast<std::size_t>(PyUnicode_GET_LENGTH(object)), kind};
  }
  if (PyBytes_Check(object)) {
    return Text{PyBytes_AS_STRING(object), static_cast<std::size_t>(PyBytes_GET_SIZE(object)), Kind::utf8};
  }
  return std::nullopt;
}

std::string described(const BadText& bad) {
  char code[9];
  std::snprintf(code, sizeof code, bad.surrogate ? "%04X" : "%02x", bad.unit);
  if (bad.surrogate) {
    return "lone surrogate U+" + std::string(code) + " at character " + std::to_string(bad.place) + ": not UTF-8";
  }
  return "not UTF-8: byte 0x" + std::string(code) + " at offset " + std::to_string(bad.place);
}

py::object HeldText::replaced() const {
  PyObject* made;
  if (object_ && PyUnicode_Check(object_)) {
    made = PyUnicode_AsEncodedString(object_, "utf-8", "replace");
  } else {
    made = PyUnicode_DecodeUTF8(static_cast<const char*>(text_.data), static_cast<Py_ssize_t>(text_.length), "replace");
  }
  if (!made) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(made);
}

}  // namespace jarvis::bpe
